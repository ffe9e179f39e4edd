"""Work captured once as a CUDA graph and replayed: what the device is told to do costs the host nothing then."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch

WARM_CALLS = 3  # of work that is to be captured: tables, workspaces and compiled programs are there then


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """On a stream of its own, where what is to be captured must run first; the current one waits for it."""
    side, current = torch.cuda.Stream(), torch.cuda.current_stream()
    side.wait_stream(current)
    with torch.cuda.stream(side):
        yield
    current.wait_stream(side)


def replayed(work: Callable[[], Any]) -> Callable[[], Any] | None:
    """`capture` of work that has not run yet: it runs `WARM_CALLS` times `aside` first."""
    with aside():
        for _ in range(WARM_CALLS):
            work()
    torch.cuda.empty_cache()  # what they leave in reserve is no room for the graph
    return capture(work)


def capture(work: Callable[[], Any]) -> Callable[[], Any] | None:
    """One graph that does `work` again when it is called; None, told why, where something in it cannot be captured.

    Nothing runs yet. Work must have run `WARM_CALLS` times `aside` before. Raises torch.OutOfMemoryError where memory
    runs out.
    """
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            work()
    except RuntimeError as error:
        torch.cuda.synchronize()
        for each in (error, error.__context__):
            if isinstance(each, torch.OutOfMemoryError):
                raise each from None
        tell(error)
        return None
    return graph.replay


def tell(error: Exception) -> None:
    """Prints why there is no graph, on a line that a run shows."""
    print(f"no CUDA graph: {type(error).__name__}: {' '.join(str(error).split())[:300]}", file=sys.stderr)
