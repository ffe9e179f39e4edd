"""Places that are named on the command line: a folder with a name, and one that may be written to."""

import pathlib

from harness.errors import UserError


def folder(text: str | pathlib.Path) -> pathlib.Path:
    """The folder of that name. Raises UserError where the name is empty."""
    if not str(text).strip():
        raise UserError("the name of a folder is empty; name one, such as results, or . for the one you are in")
    return pathlib.Path(text)


def try_to_write(out: pathlib.Path, flag: str = "") -> None:
    """Raises UserError where nothing could be written below `out`. Leaves nothing behind."""
    import tempfile

    there = next(each for each in (out, *out.absolute().parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            return
    except OSError as error:
        fix = "name a folder that you may write to"
        raise UserError(f"{flag or f'--out {out}'}: cannot be written: {error.strerror}; {fix}") from None
