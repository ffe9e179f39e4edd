"""Programs for GPUs in Triton. Importing this package imports no Triton: ask `usable` before importing from it."""

import functools
import importlib.util
import threading

import torch
from torch import Tensor

DTYPES = (torch.bfloat16, torch.float16)  # with others the programs are right, but torch's own are quicker
OLDEST = (8, 0)  # compute capability: the products need it in bfloat16
_thread = threading.local()


def usable(x: Tensor) -> bool:
    """Whether the programs here can take a tensor like `x`, on a GPU; what they cannot is torch's."""
    return x.dtype in DTYPES and _capable(x.device)


@functools.cache
def _capable(device: torch.device) -> bool:
    if torch.version.cuda is None or importlib.util.find_spec("triton") is None:
        return False
    return torch.cuda.get_device_capability(device) >= OLDEST


def bound(device: torch.device) -> None:
    """Makes the device's context this thread's, once: autograd's threads have none until they compute something."""
    if device.type == "cuda" and not hasattr(_thread, "bound"):
        torch.zeros(1, device=device)
        _thread.bound = True


@functools.cache
def early(device: torch.device) -> bool:
    """Whether a kernel may begin before the one before it has ended, and wait for it itself: Hopper and later."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (9, 0)


@functools.cache
def processors(device: torch.device) -> int:
    """Multiprocessors of the device."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1
