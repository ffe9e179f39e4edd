"""Numbers and names in words: what a reader sees, and a screen reader reads. No drawing."""

import json
import math
import pathlib
import re
from typing import Any

import pandas as pd

import models

BINARY = ("B", "KiB", "MiB", "GiB", "TiB")
LONG = 30  # letters of a name in a picture


def title(series: str, model: str) -> str:
    """The series as readers know it, without options that are null, as they are where none is given: 'retnet gamma=none
    head_size=null' becomes 'RetNet gamma=none'."""
    return re.sub(r" \w+=null(?= |$)", "", full_title(series, model))


def full_title(series: str, model: str) -> str:
    """The series with the model's name as the field writes it, and all its options."""
    name = card(model).get("title", model)
    return name + series[len(model) :] if series == model or series.startswith(f"{model} ") else series


def card(model: str) -> dict[str, Any]:
    """What the model's file states of itself; empty for a model that is gone, whose results are still shown."""
    return models.card(model) if model in models.names() else {}


def number(value: Any) -> str:
    """Four significant digits, thousands apart; whole numbers in full; nothing for a missing value."""
    if value is None or pd.isna(value):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if float(value) == int(float(value)) if math.isfinite(float(value)) else False:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{float(f'{value:.4g}'):,.15g}"


def short(value: float) -> str:
    """For ticks and labels: 1.5k, 20M."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def size(value: float) -> str:
    """Bytes in binary units: 12 MiB."""
    steps = 0 if value < 1 else min(int(math.log2(value) // 10), len(BINARY) - 1)
    return f"{value / 1024**steps:.3g} {BINARY[steps]}"


def clipped(text: str, most: int = 42) -> str:
    """The text as it can stand in a picture. A long one goes without the names of options whose values are words, those
    that are true or false told by whether they are named; one over `most` without all names, then without its middle.
    """
    told = text
    if len(text) > min(LONG, most):
        told = re.sub(r" \w+=false\b", "", re.sub(r"(\w+)=true\b", r"\1", text))
        told = re.sub(r"\w+=(?=[A-Za-z])", "", told)
    if len(told) > most:
        told = re.sub(r"\w+=", "", told)
    return told if len(told) <= most else f"{told[: most - 9]}…{told[-8:]}"


def listed(items: list[str], joint: str = "and") -> str:
    """'a', 'a and b', 'a, b and c'."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {joint} {items[-1]}" if items else "none"


def corpus(text: str) -> str:
    """A corpus as points.csv names it, files without the folders that only one machine has."""
    if not text.startswith("{"):
        return pathlib.PurePath(text).name if text.startswith((".", "/", "~")) else text
    told = json.loads(text)
    named = {name: corpus(str(where)) for name, where in told.items() if where is not None}
    train = named.pop("train", "")
    rest = ", ".join(f"{name.replace('_', ' ')}: {where}" for name, where in named.items())
    return f"{train} ({rest})" if train and rest else train or rest


def interval(value: float, low: float, high: float, form: Any = number) -> str:
    """'2.1 (2.0 to 2.2)', or the value alone where there is no interval."""
    return form(value) if pd.isna(low) else f"{form(value)} ({form(low)} to {form(high)})"
