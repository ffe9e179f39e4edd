"""Text that is written between two marks of a document, and read back from there."""

import pathlib


def between(text: str, begin: str, end: str) -> str:
    """What stands between the marks. Raises ValueError where one is missing."""
    _, first, rest = text.partition(begin)
    inside, last, _ = rest.partition(end)
    if not (first and last):
        raise ValueError(f"the text has no {begin if not first else end!r}")
    return inside


def write(path: pathlib.Path, begin: str, end: str, inside: str) -> None:
    """Puts `inside` between the marks of a file. Raises ValueError where one is missing."""
    text = path.read_text(encoding="utf-8")
    old = between(text, begin, end)
    path.write_text(text.replace(begin + old + end, begin + inside + end), encoding="utf-8")
