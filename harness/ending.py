"""How the command line ends: a mistake of the user's in a few lines, and without a word where nobody reads any more."""

import contextlib
import io
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from harness.errors import CLOSED, UserError, mistake


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


def damaged(errors: Iterable[UserError]) -> int:
    """Tells what is wrong with results beside those that are whole; returns the exit code."""
    told = list(errors)
    for error in told:
        print(error, file=sys.stderr)
    return 2 if told else 0


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
