"""What the cases of Triton programs share: the error that they tell, memory that is poisoned, and where they run alone,
one process for each processor.

A number that no program writes is then not a number, and an index that none writes is -1, by the interpreter and on a
GPU alike.
"""

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any
from unittest import mock

import torch
from torch import Tensor

UNWRITTEN = ((torch, "empty"), (torch, "empty_like"), (torch, "empty_strided"), (Tensor, "new_empty"))


def off(got: Tensor, right: Tensor) -> float:
    return ((got.double() - right.double()).norm() / right.double().norm()).nan_to_num(torch.inf).item()


@contextlib.contextmanager
def poisoned() -> Iterator[None]:
    """Memory that is asked for holds what spoils every result; what torch asks for inside its own operators does not.

    As a decorator, `@poisoned()`, it holds for every call.
    """
    with contextlib.ExitStack() as patches:
        for owner, name in UNWRITTEN:
            patches.enter_context(mock.patch.object(owner, name, _filling(getattr(owner, name))))
        yield


def _filling(kept: Any) -> Any:
    def filled(*given: Any, **how: Any) -> Tensor:
        x = kept(*given, **how)
        x.detach().fill_(torch.nan if x.is_floating_point() or x.is_complex() else -1)
        return x

    return filled


def interpreted_only() -> None:
    """Ends a process that has no interpreter."""
    if os.environ.get("TRITON_INTERPRET") != "1":
        sys.exit("set TRITON_INTERPRET=1: without a GPU only Triton's interpreter runs these")


def each(work: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """What every part of the work gives, by as many processes as there are processors."""
    import torch._dynamo  # what launches programs loads it: once, before there are several processes

    torch.set_num_threads(1)
    count = min(len(os.sched_getaffinity(0)), len(work))
    fork = multiprocessing.get_context("fork")  # which has no need to send the work
    with futures.ProcessPoolExecutor(count, fork, WORK.update, (work,)) as pool:
        return dict(zip(work, pool.map(_done, work), strict=True))


WORK: dict[str, Callable[[], Any]] = {}  # of a process of `each`


def _done(name: str) -> Any:
    return WORK[name]()
