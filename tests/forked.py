"""What a process is like as the server of processes forks it. It imports nothing that it looks for."""

import gc
import pathlib
import re
import sys
from collections.abc import Iterator
from typing import Any


def state() -> Iterator[dict[str, Any]]:
    """Modules, frozen objects, and how many bytes a collection of garbage writes to."""
    loaded, frozen, before = set(sys.modules), gc.get_freeze_count(), own_bytes()
    gc.collect()
    written = own_bytes() - before
    initialised = sys.modules["torch"].cuda.is_initialized()
    yield {"loaded": loaded, "frozen": frozen, "written": written, "initialised": initialised}


def own_bytes() -> int:
    """Resident memory that no other process shares any more."""
    told = pathlib.Path("/proc/self/smaps_rollup").read_text(encoding="ascii")
    found = re.search(r"^Private_Dirty:\s+(\d+) kB$", told, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024
