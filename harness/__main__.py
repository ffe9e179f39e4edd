"""`python -m harness`. Ctrl-C ends it at once, in one line, until a sweep runs that has something to bring to an end.

An exception would not do: one that is raised while a library loads may be lost there.
"""

import os
import signal
import sys
from typing import NoReturn


def stop(*_: object) -> NoReturn:
    os.write(2, b"\nstopped\n")
    os._exit(130)


if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, stop)

try:
    from harness.cli import main
except ModuleNotFoundError as error:
    if (error.name or "harness").partition(".")[0] in ("harness", "models", "reports"):
        raise
    told = f"{sys.executable} has no {error.name}, which this needs; `make venv` makes a Python that has it"
    sys.exit(f"{told}: call .venv/bin/python -m harness")

main()
