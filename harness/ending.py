"""How the command line ends: a mistake of the user's in a few lines, and without a word where nobody reads any more."""

import contextlib
import io
import pathlib
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from harness.errors import CLOSED, UserError, mistake, shown

if TYPE_CHECKING:
    from harness.run import Ran


def run(command: Callable[[], object]) -> NoReturn:
    """Runs the command line and exits as it does. A mistake of the user's is told in a few lines and ends with 2.

    Where nobody reads what it prints any more, as after `| head`, it ends quietly, with the exit code of a tool that
    SIGPIPE ends and with none that a command gives a meaning to. What a run has measured by then is on disk.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that is not UTF-8 has no gamma
    try:
        code = _told(command)
    except BrokenPipeError:
        code = CLOSED
    for stream in (sys.stdout, sys.stderr):
        _leave(stream)
    sys.exit(code)


def alone(module: str, does: str, command: Callable[[], object]) -> Callable[[], object]:
    """A command that takes no words: it raises UserError where some are given, --help too, and else does what it is
    for."""

    def checked() -> object:
        if given := sys.argv[1:]:
            raise UserError(f"{shown(given[0])}: this takes no words; `python -m {module}` alone {does}")
        return command()

    return checked


def damaged(errors: Iterable[UserError]) -> int:
    """Tells what is wrong with results beside those that are whole; returns the exit code."""
    told = list(errors)
    for error in told:
        print(error, file=sys.stderr)
    return 2 if told else 0


def of_run(started: Callable[[], "Ran"], folder: pathlib.Path, fresh: bool) -> int:
    """Runs points whose results go below a folder, and returns the exit code: 1 where some ended in an error, 130 where
    they were stopped, of which is told what is kept."""
    try:
        return 1 if started().errors else 0
    except KeyboardInterrupt:
        on = "starts over, and without --fresh it runs what has no row yet" if fresh else "goes on from there"
        told = f"every finished point is kept in {folder}; the same command again {on}"
        rows = any(path.read_bytes().count(b"\n") > 1 for path in folder.glob("*/points.csv"))
        print(f"\nstopped: {told if rows else 'nothing had been measured yet'}", file=sys.stderr)
        return 130


def _told(command: Callable[[], object]) -> Any:
    """The exit code, mistakes told. Raises BrokenPipeError where nobody is left to tell."""
    stdout = sys.stdout
    try:
        try:
            command()
        finally:
            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.flush()  # while it can still be told that there is no room
    except SystemExit as ended:
        if sys.stdout is not stdout:  # typer puts another in place of one that is closed, and exits with 1
            raise BrokenPipeError from None
        return ended.code
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        if (told := mistake(error)) is None:
            raise
        _leave(sys.stdout)
        print(told, file=sys.stderr)
        return 2
    return 0


def _leave(stream: Any) -> None:
    """Gives up what a stream still holds where that cannot be written: it would be tried again at the very end."""
    try:
        stream.flush()
    except (OSError, ValueError, AttributeError):  # closed by its reader, closed here, never open
        with contextlib.suppress(OSError, AttributeError):
            stream.close()
