"""Where what can be made again is kept: corpora and unfinished trainings. A file is there whole or not at all."""

import os
import pathlib
import tempfile
from collections.abc import Callable
from typing import IO

from harness.errors import UserError
from harness.point import digest


def folder() -> pathlib.Path:
    """`$XDG_CACHE_HOME/impossible-triangle`, or the same in `~/.cache`. It may not exist yet."""
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "impossible-triangle"


def training(configuration: str, code: str) -> pathlib.Path:
    """Where a training may be kept while it is unfinished: each configuration's own under each code."""
    return folder() / "checkpoints" / f"{digest([configuration, code])}.safetensors"


def start_over(path: pathlib.Path) -> None:
    """Removes an unfinished training. Raises UserError where there is one that stays: it would be gone on from."""
    try:
        path.unlink(missing_ok=True)
    except NotADirectoryError:  # nothing is kept there
        pass
    except OSError as error:
        told = f"this unfinished training cannot be removed, from which --fresh would go on: {error.strerror}"
        raise UserError(f"{path}: {told}; remove it, or set XDG_CACHE_HOME to another folder") from None


def write(path: pathlib.Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Has `fill` write a file and then puts it in place of `path`. Raises OSError; then `path` is as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            pathlib.Path(file.name).unlink(missing_ok=True)
            raise
