"""What a user is told: a few lines that name the place, what was given, what is allowed, and the fix."""

import dataclasses
import difflib
import errno
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

CLOSED = 128 + 13  # the exit code that shells give a tool which SIGPIPE ends: nobody reads what it prints


class UserError(Exception):
    """A mistake that the user can mend. Its text is ready to print; the command line prints it and exits with 2."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing that is wrong in one place of a file or on the command line."""

    place: str  # 'experiments/triangle.yaml:7' or '--set budget.parameters=x'
    key: str  # 'models[1].gamma'; empty where the whole file is meant
    text: str  # what was given, what is allowed, the fix

    @property
    def line(self) -> int:
        """Of the file; 0 where the place is none."""
        found = re.search(r":(\d+)$", self.place)
        return int(found[1]) if found else 0

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.key, self.text) if part)


def refuse(problems: Iterable[Problem], most: int = 12) -> None:
    """Raises one UserError that tells all problems in their order in the file, each on a line; returns if none is."""
    lines = list(dict.fromkeys(str(problem) for problem in sorted(problems, key=lambda problem: problem.line)))
    if not lines:
        return
    raise UserError("\n".join(first(lines, most)))


def first(told: Sequence[str], most: int, noun: str = "problem") -> list[str]:
    """The first of what is told, and at last how many there are besides: '... and 3 more problems'."""
    from reports import plurals  # which help does without

    left = len(told) - most
    return [*told[:most], *([f"... and {plurals.counted(left, f'more {noun}')}"] if left > 0 else [])]


def nearest(given: Any, allowed: Iterable[Any]) -> str | None:
    """The allowed name that is most like the given one, if any is alike."""
    by_plain = {str(name).lower().replace("-", "_"): str(name) for name in allowed}
    found = difflib.get_close_matches(str(given).lower().replace("-", "_"), by_plain, n=1, cutoff=0.55)
    return by_plain[found[0]] if found else None


def listed(names: Iterable[Any]) -> str:
    return ", ".join(str(name) for name in names) or "none"


def unknown(kind: str, given: Any, allowed: Iterable[Any]) -> str:
    """Such as: unknown model 'retnt'; allowed are aft, retnet; did you mean 'retnet'?"""
    allowed = list(allowed)
    guess = nearest(given, allowed) or nearest(pathlib.PurePath(str(given)).stem, allowed)  # of a file, its name
    hint = f"; did you mean {guess!r}?" if guess else ""
    return f"unknown {kind} {shown(given)}; allowed are {listed(allowed)}{hint}"


def named(name: Any, most: int = 200) -> str:
    """A name as it was typed; as `shown` where it is long, or would break the line."""
    text = str(name)
    return text if text.isprintable() and len(text) <= most else shown(text)


def relative(path: pathlib.Path) -> pathlib.Path:
    """A path as one who stands here would type it: from here where it lies below, else as it is."""
    here = pathlib.Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def mistake(error: OSError) -> str | None:
    """What to tell of an error of the system that a user can mend; None of any other."""
    if error.errno == errno.ENAMETOOLONG:
        return f"{shown(str(error.filename))}: this name is longer than the system allows; give a shorter one"
    if error.errno == errno.ENOSPC and error.filename is None:
        return "what is printed cannot be written, no space is left: make room, or print elsewhere"
    return None


def shown(value: Any, most: int = 60) -> str:
    """A given value as text for a message, as YAML has it, cut where it is long."""
    text = {"None": "null", "True": "true", "False": "false"}.get(repr(value), repr(value))
    return text if len(text) <= most else text[: most - 3] + "..."
