"""Programs for GPUs in Triton. Importing this package imports no Triton: ask `usable` before importing from it."""

import functools
import importlib.util
import threading

import torch
from torch import Tensor

DTYPES = (torch.bfloat16, torch.float16)  # with others the programs are right, but torch's own products are quicker
WITHOUT_PRODUCTS = (*DTYPES, torch.float32)  # of programs that have none
HOPPER = (9, 0)
GLUON = (3, 6)  # the oldest Triton whose Gluon has what is used; it is an experimental part, tested up to 3.7
OLDEST = (8, 0)  # compute capability: the products need it in bfloat16
_thread = threading.local()


def usable(x: Tensor, dtypes: tuple[torch.dtype, ...] = DTYPES) -> bool:
    """Whether `x` is on a GPU and the programs here can take a tensor like it; what they cannot is torch's."""
    return x.is_cuda and x.dtype in dtypes and _capable(x.device)


@functools.cache
def processors(device: torch.device) -> int:
    """Multiprocessors of the device."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


@functools.cache
def _capable(device: torch.device) -> bool:
    if torch.version.cuda is None or importlib.util.find_spec("triton") is None:
        return False
    return torch.cuda.get_device_capability(device) >= OLDEST


@functools.cache
def specialised(device: torch.device) -> bool:
    """Whether programs in Gluon whose warps have roles run there: they multiply as Hopper does, and no other."""
    if device.type != "cuda" or torch.cuda.get_device_capability(device) != HOPPER or not _capable(device):
        return False
    import triton

    return tuple(int(n) for n in triton.__version__.split(".")[:2]) >= GLUON


def bound(device: torch.device) -> None:
    """Makes the device's context this thread's, once: autograd's threads have none until they compute something."""
    if device.type == "cuda" and not hasattr(_thread, "bound"):
        torch.zeros(1, dtype=torch.float32, device=device)
        _thread.bound = True


@functools.cache
def early(device: torch.device) -> tuple[bool, dict[str, bool]]:
    """Whether a kernel may begin before the one before it has ended, and wait for that itself; and how to launch it so.

    Hopper's programmatic dependent launch. Before it waits, a program reads nothing but what no kernel before it in the
    same step writes (weights, and a state of its own), so that every kernel can let the next one begin at once: each
    waits for the whole of the one before it, and so for all before that. A step begins with `embedding`'s lookup, which
    lets the next one begin only when it has waited, so that no two steps overlap.
    """
    can = device.type == "cuda" and torch.cuda.get_device_capability(device) >= HOPPER
    return can, {"launch_pdl": True} if can else {}


def bucket(n: int, least: int = 32) -> int:
    """The next power of two: of a block that holds n, `least` at least."""
    return max(least, 1 << (n - 1).bit_length())


def segment(T: int, programs: int, most: int, shortest: int, step: int) -> int:
    """Tokens of a segment of T, a multiple of `step`: `programs` of each shall be `most`, none under `shortest`."""
    N = max(1, min(most // programs, T // shortest))
    return -(-T // (N * step)) * step


def empty(like: Tensor, *sizes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Of these sizes, where `like` is."""
    return torch.empty(sizes, dtype=dtype, device=like.device)
