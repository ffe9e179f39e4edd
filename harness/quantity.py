"""Numbers as people write them in an experiment: 4M, 10k, 1.5B, 3e-4, 1e15, 8GiB.

Each function takes what YAML made of the text and raises ValueError, saying what was given and what is allowed.
"""

import math
import re
from typing import Any

from harness.errors import shown

THOUSANDS = {"": 1, "k": 10**3, "M": 10**6, "B": 10**9, "G": 10**9, "T": 10**12}
DECIMAL_BYTES = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
BYTES = {**DECIMAL_BYTES, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
MOST = 10**30  # no size comes near it, and a float still holds it
PATTERN = re.compile(r"\s*([+-]?(?:\d[\d_]*)?(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*([a-zA-Z]*)\s*")


def number(given: Any, allowed: str = "a number such as 3e-4, 0.1 or 2M (k, M, B, T)") -> float:
    """A finite number: 3e-4, 0.1, 2M."""
    return float(_scaled(given, THOUSANDS, allowed))


def seconds(given: Any) -> float:
    """A finite number of seconds; a unit of time is refused."""
    return number(given, "a number of seconds, such as 60 or 3600")


def count(given: Any) -> int:
    """A whole number: 4M, 10k, 1.5B, 1e15, 250_000."""
    return _whole(given, THOUSANDS, "a whole number such as 250000, 10k, 4M or 1.5B")


def plain(text: str) -> str:
    """1000 for 1k; a text that is no number as it is."""
    try:
        return str(count(text))
    except ValueError:
        return text


def size_bytes(given: Any) -> int:
    """A number of bytes: 8GiB, 512MiB, 2GB, or a plain number."""
    return _whole(given, BYTES, "a size such as 512MiB, 8GiB or 2GB, or a plain number of bytes")


def _whole(given: Any, units: dict[str, int], allowed: str) -> int:
    value = _scaled(given, units, allowed)
    if value != int(value):
        raise ValueError(f"{shown(given)} is not whole; allowed is {allowed}")
    return int(value)


def _scaled(given: Any, units: dict[str, int], allowed: str) -> float:
    no_number = ValueError(f"{shown(given)} is not a number; allowed is {allowed}")
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise no_number
    if isinstance(given, int):
        if abs(given) > MOST:
            raise ValueError(f"{shown(given)} is out of range; allowed is {allowed}")
        return given
    value, factor = given if isinstance(given, float) else math.nan, 1
    if isinstance(given, str) and (found := PATTERN.fullmatch(given)):
        digits, unit = found.groups()
        value, factor = _float(digits), units.get(unit, 1)
        if value == value and unit not in units:
            near = next((name for name in units if name.lower().startswith(unit.lower())), None)
            hint = f"; did you mean {given.replace(unit, near)!r}?" if near else ""
            raise ValueError(f"{shown(given)} has the unknown unit {unit!r}; allowed is {allowed}{hint}")
    if not math.isfinite(value * factor):
        raise no_number
    if isinstance(given, str) and (led := re.match(r"\s*[+-]?0+(?=\d)", given)):
        plain = given[led.end() :].strip()
        raise ValueError(f"{shown(given)} begins with a 0, which makes it octal to some; write {shown(plain)}")
    exact = round(value * factor, 6)  # 1.1M is not 1100000.0000000002
    return exact if abs(exact) >= 1 else value * factor


def _float(digits: str) -> float:
    try:
        return float(digits)
    except ValueError:
        return math.nan


def tell_count(value: float) -> str:
    """4.19M, 250k, 12: the way back, to three digits, for tables."""
    value = float(f"{value:.3g}")
    for unit in ("T", "B", "M", "k"):
        if abs(value) >= THOUSANDS[unit]:
            return f"{value / THOUSANDS[unit]:.3g}{unit}"
    return f"{value:.3g}"


def tell_bytes(value: float) -> str:
    """512 MiB, 8 GiB, 12 bytes: the way back, to three digits, for tables."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if abs(value) >= BYTES[unit]:
            told = value / BYTES[unit]
            return f"{told:.0f} {unit}" if abs(told) >= 1000 else f"{told:.3g} {unit}"
    return f"{value:.0f} bytes"


def tell_seconds(value: float) -> str:
    """1 h 05 min, 3 min 20 s, 12 s, 0.3 s."""
    whole = round(value)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    if whole >= 60:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole} s" if value >= 10 else f"{value:.1f} s"
