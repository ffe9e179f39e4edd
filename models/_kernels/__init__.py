"""Programs for GPUs in Triton. Importing this package imports no Triton: ask `usable` before importing from it."""

import functools
import importlib.util
import threading

import torch
from torch import Tensor

DTYPES = (torch.bfloat16, torch.float16)  # with others the programs are right, but torch's own products are quicker
WITHOUT_PRODUCTS = (*DTYPES, torch.float32)  # of programs that have none
OLDEST = (8, 0)  # compute capability: the products need it in bfloat16
_thread = threading.local()


def usable(x: Tensor, dtypes: tuple[torch.dtype, ...] = DTYPES) -> bool:
    """Whether the programs here can take a tensor like `x`, on a GPU; what they cannot is torch's."""
    return x.dtype in dtypes and _capable(x.device)


@functools.cache
def processors(device: torch.device) -> int:
    """Multiprocessors of the device."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


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


def empty(like: Tensor, *sizes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Of these sizes, where `like` is."""
    return torch.empty(sizes, dtype=dtype, device=like.device)
