"""How long one more token takes after a context of n tokens.

The context is read in the model's default form; then `decoded_tokens` steps are timed together, each over the state
that the one before left. Every sample starts at context n again: from the same `State`, whose tensors the sample before
may have updated in place. Their values are then others, their sizes are not, and only those decide the time.

On CUDA the steps are captured once and replayed as one graph where the model allows it, the same way for every model.

`bytes_per_second` is what a step must read at least, each weight but the embedding table and the state once, over its
time: beside the machine's measured bandwidth it says how far from the floor a step is.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from harness.measures import Metric, Progress, Sample
from harness.point import Point

if TYPE_CHECKING:
    from torch import Tensor

    from harness.bench import Bench
    from models._lm import LanguageModel
    from models._state import State


def steps(model: "LanguageModel", tokens: "Tensor", context: "State") -> Callable[[], None]:
    """What is timed: a step for each of the tokens [steps, batch], the first from the context."""

    def decode() -> None:
        state = context
        for token in tokens:
            _, state = model.step(token, state)

    return decode


class Measure:
    title = "Decode"
    metrics = {
        "token_ms": Metric("ms", "lower", "time of one step, which gives each sequence of the batch one more token"),
        "device_token_ms": Metric("ms", "lower", "the same by events on the device's queue; CUDA alone has them"),
        "tokens_per_second": Metric("tokens/s", "higher", "tokens decoded per second, over the whole batch"),
        "bytes_per_second": Metric("bytes/s", "higher", "weights and state, read once a step, over its time"),
    }
    factors = ("batch_size", "sequence_length", "dtype")
    trains = False
    reads_corpus = False
    decoded_tokens = 16

    def run(self, point: Point, bench: "Bench") -> Iterator[Sample | Progress]:
        import torch

        assert point.batch_size is not None
        assert point.sequence_length is not None
        model = bench.model()
        last = point.sequence_length + self.decoded_tokens
        tokens = bench.tokens(self.decoded_tokens, point.batch_size)
        with torch.inference_mode(), bench.reaching(last):
            context = bench.context(model, bench.tokens(point.batch_size, point.sequence_length), last)
            read = sum(p.nbytes for p in model.parameters()) - model.embedding.weight.nbytes + context.nbytes
            timed = bench.time(bench.captured(steps(model, tokens, context)))
        for repeat, seconds in enumerate(seconds / self.decoded_tokens for seconds in timed.seconds):
            yield Sample("token_ms", 1000 * seconds, repeat)
            yield Sample("tokens_per_second", point.batch_size / seconds, repeat)
            yield Sample("bytes_per_second", read / seconds, repeat)
        for repeat, seconds in enumerate(timed.device_seconds):
            yield Sample("device_token_ms", 1000 * seconds / self.decoded_tokens, repeat)
