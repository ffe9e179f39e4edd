"""How long one mixer's operation over time takes by itself, on random inputs: no projections, norms or gates.

That of RetNet is retention, that of linear attention retention of features with what divides it, the Transformer's is
attention, RWKV's and AFT's the average by channel, AFT's with biases and where they know no positions. Forward alone,
and forward with the gradients of all inputs. On CUDA each is captured and replayed as one graph where that is possible,
so that no time of the host is in it.

`least_bytes_per_second` is what must be moved at least forward, each input and output once, over the time forward.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.measures import Metric, NotApplicable, Progress, Sample
from harness.point import Point

if TYPE_CHECKING:
    from harness.bench import Bench


class Measure:
    title = "Operation"
    metrics = {
        "forward_ms": Metric("ms", "lower", "time of one mixer's operation over the whole batch"),
        "forward_backward_ms": Metric("ms", "lower", "the same with the gradients of all inputs"),
        "token_ns": Metric("ns", "lower", "time forward per token of the batch"),
        "flops_per_second": Metric("FLOP/s", "higher", "forward, as many as are needed"),
        "least_bytes_per_second": Metric("bytes/s", "higher", "inputs and outputs, each moved once, over the time"),
    }
    factors = ("batch_size", "sequence_length", "dtype")
    trains = False
    reads_corpus = False
    captured = True

    def run(self, point: Point, bench: "Bench") -> Iterator[Sample | Progress]:
        import torch

        batch, length = bench.sizes
        torch.manual_seed(point.seed)
        like = torch.empty(0, dtype=bench.dtype, device=point.device)
        found = bench.kind.operation(bench.shape, bench.options, batch, length, like)
        if found is None:
            raise NotApplicable(f"{bench.kind.title} names no operation of its mixer with these options")
        run, inputs = found
        with torch.no_grad():
            outputs = run(*inputs)
            forward = bench.time(bench.captured(lambda: run(*inputs)))
        least = sum(tensor.nbytes for tensor in (*inputs, outputs))
        form = bench.kind.training_form(bench.options)
        flops = batch * bench.kind.needed_mixing_flops(bench.shape, bench.options, form, length)
        for repeat, seconds in enumerate(forward.seconds):
            yield Sample("forward_ms", 1000 * seconds, repeat)
            yield Sample("token_ns", 1e9 * seconds / (batch * length), repeat)
            yield Sample("flops_per_second", flops / seconds, repeat)
            yield Sample("least_bytes_per_second", least / seconds, repeat)
        inputs = [tensor.requires_grad_() for tensor in inputs]
        back = torch.randn_like(outputs)
        both = bench.time(bench.captured(lambda: torch.autograd.grad(run(*inputs), inputs, back)))
        for repeat, seconds in enumerate(both.seconds):
            yield Sample("forward_backward_ms", 1000 * seconds, repeat)
