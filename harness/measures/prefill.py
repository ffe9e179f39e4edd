"""How long a model reads a prompt: from tokens to the logits after the last one and the state there.

On CUDA the prompts are read by one captured graph that is replayed: a short one is over before the host has launched
what it takes, and models would be told apart by their launches.

FLOPs are those that are needed, by the model's own count, the head's for the last tokens alone; bytes are what must be
moved at least, each weight but the embedding table and the state once.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.measures import Metric, Progress, Sample
from harness.point import Point

if TYPE_CHECKING:
    from harness.bench import Bench


class Measure:
    title = "Prefill"
    metrics = {
        "prefill_ms": Metric("ms", "lower", "time to read the prompts of one batch, state included"),
        "device_prefill_ms": Metric("ms", "lower", "the same by events on the device's queue; CUDA alone has them"),
        "tokens_per_second": Metric("tokens/s", "higher", "prompt tokens read per second"),
        "flops_per_second": Metric("FLOP/s", "higher", "of a batch of prompts, as many as are needed"),
        "bytes_per_second": Metric("bytes/s", "higher", "weights and state, each once, over the time of a batch"),
    }
    factors = ("form", "batch_size", "sequence_length", "dtype")
    trains = False
    reads_corpus = False
    captured = True

    def run(self, point: Point, bench: "Bench") -> Iterator[Sample | Progress]:
        import torch

        batch, length = bench.sizes
        model, prompts = bench.model(), bench.tokens(batch, length)
        with torch.inference_mode(), bench.reaching(length):
            timed = bench.time(bench.captured(lambda: model.prefill(prompts, bench.form)))
        kind, shape = bench.kind, bench.shape
        flops = batch * kind.needed_flops(shape, bench.options, bench.form, length)
        flops -= batch * (length - 1) * 2 * shape.vocabulary * shape.width
        moved = bench.read_bytes(model)
        moved += kind.state_bytes(shape, bench.options, batch, length, bench.dtype.itemsize)
        for repeat, seconds in enumerate(timed.seconds):
            yield Sample("prefill_ms", 1000 * seconds, repeat)
            yield Sample("tokens_per_second", batch * length / seconds, repeat)
            yield Sample("flops_per_second", flops / seconds, repeat)
            yield Sample("bytes_per_second", moved / seconds, repeat)
        for repeat, seconds in enumerate(timed.device_seconds):
            yield Sample("device_prefill_ms", 1000 * seconds, repeat)
