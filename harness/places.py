"""Places that are named on the command line: a folder with a name, and one that may be written to."""

import pathlib

from harness.errors import UserError


def folder(text: str | pathlib.Path) -> pathlib.Path:
    """The folder of that name. Raises UserError where the name is empty."""
    if not str(text).strip():
        raise UserError("the name of a folder is empty; name one, such as results, or . for the one you are in")
    return pathlib.Path(text)


def nearest(place: pathlib.Path) -> pathlib.Path:
    """The folder itself or, where it is still to be made, the nearest one around it that there is."""
    return next((each for each in (place, *place.absolute().parents) if each.exists()), place)


def try_to_write(out: pathlib.Path, flag: str = "") -> None:
    """Raises UserError where nothing could be written below `out`. Leaves nothing behind."""
    import tempfile

    try:
        with tempfile.TemporaryFile(dir=nearest(out)):
            return
    except OSError as error:
        fix = "name a folder that you may write to"
        raise UserError(f"{flag or f'--out {out}'}: cannot be written: {error.strerror}; {fix}") from None
