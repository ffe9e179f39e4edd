"""How far a state that is rounded after every token has drifted from the same one in float32, after n tokens.

Two models of the same weights read the same `sequence_length` random tokens step by step, one with the point's own
`state_dtype`, the other with a state in float32. At every power of two and at the end they are compared: the norm of
the difference over the norm of what float32 gives, over all numbers of the batch, and for the state of all layers.

In bfloat16 all else is rounded as well, to the nearest, from numbers that no longer are the same on both sides: then
the error of the logits is not the state's alone. In float32 it is.
"""

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from harness.measures import Metric, NotApplicable, Progress, Sample
from harness.point import Point

if TYPE_CHECKING:
    from torch import Tensor

    from harness.bench import Bench

KEPT = "float32"


class Measure:
    title = "State drift"
    metrics = {
        "logits_error": Metric("1", "lower", "of the logits after n tokens, beside those of a state in float32"),
        "state_error": Metric("1", "lower", "of the state after n tokens, beside one in float32"),
    }
    factors = ("batch_size", "sequence_length", "dtype")
    trains = False
    reads_corpus = False
    captured = True
    stepping_models = 2

    def run(self, point: Point, bench: "Bench") -> Iterator[Sample | Progress]:
        import torch

        from harness.decoding import Follower

        batch, length = bench.sizes
        if getattr(bench.options, "state_dtype", KEPT) == KEPT:
            raise NotApplicable("its state is not rounded; only a model with a state_dtype of bfloat16 can drift")
        if length < 2:
            raise NotApplicable("one token is read from no state; give a sequence_length of at least 2")
        model, tokens = bench.model(), bench.tokens(batch, length)
        options: Any = bench.options  # which have a state_dtype
        unrounded = bench.kind(bench.shape, dataclasses.replace(options, state_dtype=KEPT))
        unrounded.load_state_dict(model.state_dict())
        unrounded.to(point.device, bench.dtype)
        with torch.inference_mode(), bench.reaching(length):
            ours, wanted = (Follower(each, tokens, bench.captured) for each in (model, unrounded))
            for n in lengths(length):
                ours.read_to(n)
                wanted.read_to(n)
                yield Sample("logits_error", error([ours.logits], [wanted.logits]), length=n)
                yield Sample("state_error", error(ours.states, wanted.states), length=n)


def lengths(last: int) -> list[int]:
    """The powers of two from 2 on, and the last one."""
    return sorted({2**n for n in range(1, last.bit_length()) if 2**n <= last} | {last})


def error(found: "list[Tensor]", wanted: "list[Tensor]") -> float:
    """The norm of the difference over the norm of what is wanted, all tensors as one."""
    pairs = [(a.double(), b.double()) for a, b in zip(found, wanted, strict=True)]
    squares = sum((a - b).square().sum() for a, b in pairs) / sum(b.square().sum() for _, b in pairs)
    return float(squares) ** 0.5
