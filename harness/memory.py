"""Peak memory of one piece of work, above what the process held before there was a model.

On the CPU the kernel's own record counts: `VmHWM` of /proc/self/status, set back before the work, less what was there
before and less the pages of files, which are the libraries' code. `ru_maxrss` is of no use: a process that was forked
starts with its parent's. On CUDA torch's allocator counts.
"""

import contextlib
import ctypes
import dataclasses
import gc
import math
import pathlib
import re
import sys
from collections.abc import Callable
from typing import Any

import psutil

from harness.measures import NotApplicable

M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
MAPPED_BYTES = 2**17  # tensors of this size and more
STATUS, CLEAR = pathlib.Path("/proc/self/status"), pathlib.Path("/proc/self/clear_refs")


@dataclasses.dataclass(frozen=True)
class Peak:
    """Bytes at the peak, weights included."""

    resident_bytes: int  # that the process, or on CUDA the allocator, held
    allocated_bytes: int | None  # that tensors held, where an allocator counts them

    @property
    def held_bytes(self) -> int:
        """That tensors held, or where nothing counts that, the process."""
        return self.resident_bytes if self.allocated_bytes is None else self.allocated_bytes


class Memory:
    """Made before the model, so that it knows what was there without one."""

    def __init__(self, device: str):
        self.device = device
        if device == "cpu":
            _return_freed()
        self.before = _anonymous_bytes() if device == "cpu" and STATUS.exists() else 0

    def most(self, limit: int | None = None) -> float:
        """Bytes that a peak may come to: what is free beside what is held, and no more than `limit` of the process."""
        if self.device == "cuda":
            import torch

            free = torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved()
            return min(free, limit or math.inf)
        if self.device != "cpu" or not STATUS.exists():
            return min(psutil.virtual_memory().available, limit or math.inf)
        held = _anonymous_bytes() - self.before
        beside = self.before + _status_bytes("RssFile")
        return min(psutil.virtual_memory().available + held, (limit or math.inf) - beside)

    def peak(self, work: Callable[[], Any]) -> Peak:
        """Does `work` and tells the peak meanwhile. Raises NotApplicable where nothing counts this device's memory."""
        if self.device == "cuda":
            return _cuda_peak(work)
        if self.device != "cpu" or not STATUS.exists():
            raise NotApplicable(f"nothing on {sys.platform} counts the peak memory of {self.device}")
        gc.collect()
        _return_freed()
        _free_at_once()
        _restart()
        work()
        return Peak(max(0, _status_bytes("VmHWM") - _status_bytes("RssFile") - self.before), None)


def _cuda_peak(work: Callable[[], Any]) -> Peak:
    import torch

    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    work()
    torch.cuda.synchronize()
    return Peak(torch.cuda.max_memory_reserved(), torch.cuda.max_memory_allocated())


def _anonymous_bytes() -> int:
    return _status_bytes("VmRSS") - _status_bytes("RssFile")


def _status_bytes(key: str) -> int:
    found = re.search(rf"^{key}:\s+(\d+) kB$", STATUS.read_text(encoding="ascii"), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _restart() -> None:
    """Sets VmHWM back to what is resident now. Where that is not allowed it keeps the peak since the process began."""
    with contextlib.suppress(OSError):
        CLEAR.write_text("5", encoding="ascii")


def _free_at_once() -> None:
    """Has the C library map each tensor by itself and unmap it when it is freed, so that only live ones count.

    By default it comes to keep freed ones up to 32 MiB, for later and in pieces: a third of a small model's peak.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library has no such call
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)


def _return_freed() -> None:
    """Has the C library give back what it keeps of freed memory, so that it counts for nobody."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library has no such call
        ctypes.CDLL(None).malloc_trim(0)
