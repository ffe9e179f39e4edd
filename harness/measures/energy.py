"""Joules per token, by the hardware's own counter of the whole device, idle power included.

Each value is taken over a window of `WINDOW_SECONDS` at least, since counters move in steps of up to a tenth of a
second. Decoding gives each sequence of the batch `STEPS` tokens one after another, up to the point's length, and waits
for the device after these alone, as the measure `decode` does: after every token an idle device would count most where
a token is quickest. Training takes whole optimiser steps. Where nothing counts joules the point is not applicable: a
data sheet's estimate is no measurement.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.measures import Metric, NotApplicable, Progress, Sample
from harness.point import Point, Training

if TYPE_CHECKING:
    from harness.bench import Bench

WINDOWS, WINDOW_SECONDS = 3, 5.0
STEPS = 16


class Measure:
    title = "Energy"
    metrics = {
        "decode_joules_per_token": Metric("J/token", "lower", "of decoding after a context, over the whole batch"),
        "training_joules_per_token": Metric("J/token", "lower", "of whole optimiser steps"),
        "decode_watts": Metric("W", None, "mean power of the device while it decoded"),
        "training_watts": Metric("W", None, "mean power of the device while it trained"),
    }
    factors = ("form", "batch_size", "sequence_length", "dtype")
    trains = False
    reads_corpus = False
    captured = True
    reads_context = True
    optimises = True
    least_seconds = 2 * WINDOWS * WINDOW_SECONDS

    def run(self, point: Point, bench: "Bench") -> Iterator[Sample | Progress]:
        import torch

        from harness.decoding import Decoder
        from harness.graphs import WARM_CALLS

        batch, length = bench.sizes
        model, windows = bench.model(), bench.tokens(batch, length + 1)
        with bench.reaching(length), torch.inference_mode():
            reserved = length + WARM_CALLS
            steps = max(1, min(STEPS, length - 1))
            context = bench.context(model, windows[:, : max(1, length - steps)], reserved)
            decoder = Decoder(model, windows[:, -1], context, bench.captured)

            def decode() -> None:
                decoder.again()
                for _ in range(steps):
                    decoder.step()

            spent = bench.energy(decode, WINDOWS, WINDOW_SECONDS)
        yield from told("decode", spent, batch * steps)
        del context, spent
        settings = Training(sequence_length=length, batch_size=batch, learning_rate=1e-4)
        model.train()
        train = bench.stepper(model, settings, windows)
        yield from told("training", bench.energy(train, WINDOWS, WINDOW_SECONDS), batch * length)


def told(work: str, windows: list[tuple[float, float]], tokens: int) -> Iterator[Sample]:
    """`windows` holds joules and seconds of one call of `tokens` tokens. Raises NotApplicable for a dead counter."""
    if not all(joules > 0 for joules, _ in windows):
        raise NotApplicable("the device's energy counter did not move; it is there but counts nothing")
    for repeat, (joules, seconds) in enumerate(windows):
        yield Sample(f"{work}_joules_per_token", joules / tokens, repeat)
        yield Sample(f"{work}_watts", joules / seconds, repeat)
