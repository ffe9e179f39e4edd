"""Figures and claims that raise: where a caller keeps account of them, pages are made without them and say so."""

import dataclasses
import pathlib
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import TypeVar

from reports import packages
from reports.marks import ROOT

Made = TypeVar("Made")

Account = dict[str, str]  # 'reports/figures/energy.py' to a line that names it and says what is wrong
MOST = 500  # letters of a message


@dataclasses.dataclass(frozen=True)
class Failed:
    """What stands for something that could not be made."""

    text: str


def file(package: ModuleType, name: str) -> str:
    """A file of a package as it is named to people."""
    return f"{package.__name__.replace('.', '/')}/{name}.py"


def of(package: ModuleType, account: Account) -> dict[str, str]:
    """The files of a package that are on the account, and their names."""
    return {file(package, name): name for name in packages.files(package) if file(package, name) in account}


def tried(package: ModuleType, name: str, make: Callable[[], Made], account: Account | None) -> Made | Failed:
    """What `make` gives by the file of that name. Where it raises, this goes on the account; without one it raises."""
    try:
        return make()
    except Exception as error:  # whatever its author has written
        if account is None:
            raise
        text = _line(package, name, error)
        account.setdefault(file(package, name), text)
        return Failed(text)


def _line(package: ModuleType, name: str, error: Exception) -> str:
    """The file with its last line that the error came through, or else the place that raised it at the end."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame.lineno for frame in frames if pathlib.Path(frame.filename) == package.FOLDER / f"{name}.py"]
    place = f"{frames[-1].filename.removeprefix(f'{ROOT}/')}:{frames[-1].lineno}"
    told = f"raised {type(error).__name__}: {' '.join(str(error).split())[:MOST]}"
    return f"{file(package, name)}:{own[-1]}: {told}" if own else f"{file(package, name)}: {told} ({place})"
