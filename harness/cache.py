"""Where what can be made again is kept: corpora and unfinished trainings. A file is there whole or not at all."""

import os
import pathlib
import tempfile
from collections.abc import Callable
from typing import IO


def folder() -> pathlib.Path:
    """`$XDG_CACHE_HOME/impossible-triangle`, or the same in `~/.cache`. It may not exist yet."""
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "impossible-triangle"


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
