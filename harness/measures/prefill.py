"""How long a model reads a prompt: from tokens to the logits after the last one and the state there."""

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
    }
    factors = ("form", "batch_size", "sequence_length", "dtype")
    trains = False
    reads_corpus = False

    def run(self, point: Point, bench: "Bench") -> Iterator[Sample | Progress]:
        import torch

        assert point.batch_size is not None
        assert point.sequence_length is not None
        model, prompts = bench.model(), bench.tokens(point.batch_size, point.sequence_length)
        with torch.inference_mode(), bench.reaching(point.sequence_length):
            timed = bench.time(lambda: model.prefill(prompts, bench.form))
        for repeat, seconds in enumerate(timed.seconds):
            yield Sample("prefill_ms", 1000 * seconds, repeat)
            yield Sample("tokens_per_second", prompts.numel() / seconds, repeat)
        for repeat, seconds in enumerate(timed.device_seconds):
            yield Sample("device_prefill_ms", 1000 * seconds, repeat)
