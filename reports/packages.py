"""The folders whose files hold one class each, figures and claims: found by listing, in the order of their `place`.

Such a package has a `FOLDER` and `load`. Files whose name starts with an underscore are shared.
"""

from collections.abc import Iterable
from types import ModuleType


def files(package: ModuleType) -> list[str]:
    """The names of the files, whatever is in them."""
    return sorted(path.stem for path in package.FOLDER.glob("*.py") if not path.stem.startswith("_"))


def names(package: ModuleType, without: Iterable[str] = ()) -> list[str]:
    """The same less some, as they stand on a page."""
    return sorted(set(files(package)) - {*without}, key=lambda name: (package.load(name).place, name))
