"""The folders whose files hold one class each, figures and claims: found by listing, in the order of their `place`.

A room is such a package, with its `FOLDER` and `load`. Files whose name starts with an underscore are shared.
"""

from collections.abc import Iterable
from typing import Any


def files(room: Any) -> list[str]:
    """The names of the files, whatever is in them."""
    return sorted(path.stem for path in room.FOLDER.glob("*.py") if not path.stem.startswith("_"))


def names(room: Any, without: Iterable[str] = ()) -> list[str]:
    """The same less some, as they stand on a page."""
    return sorted(set(files(room)) - {*without}, key=lambda name: (room.load(name).place, name))
