"""How long one more token takes after a context of n tokens.

The context is read in the model's default form; then `decoded_tokens` steps are timed together, each fed the likeliest
token after the one before and over the state that it left. Every sample starts at context n again, see `Decoder`.

On CUDA one step, the choice of the token included, is captured and replayed at every position where the model counts on
the device; a cache that grows by copying, say, cannot be.

`bytes_per_second` is what a step must move at least, each weight but the embedding table once, the state once or, where
it changes as a whole, twice; and `flops_per_second` what it computes, over its time. The larger share of what the
machine was measured to reach of either says how far from the floor a step is.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.measures import Metric, Progress, Sample
from harness.point import Point

if TYPE_CHECKING:
    from harness.bench import Bench


class Measure:
    title = "Decode"
    metrics = {
        "token_ms": Metric("ms", "lower", "time of one step, which gives each sequence of the batch one more token"),
        "device_token_ms": Metric("ms", "lower", "the same by events on the device's queue; CUDA alone has them"),
        "tokens_per_second": Metric("tokens/s", "higher", "tokens decoded per second, over the whole batch"),
        "bytes_per_second": Metric("bytes/s", "higher", "weights and state, as a step must move them, over its time"),
        "flops_per_second": Metric("FLOP/s", "higher", "of a step, as many as are needed"),
    }
    factors = ("batch_size", "sequence_length", "dtype")
    trains = False
    reads_corpus = False
    captured = True
    reads_context = True
    decoded_tokens = 16

    def run(self, point: Point, bench: "Bench") -> Iterator[Sample | Progress]:
        import torch

        from harness.decoding import Decoder

        batch, length = bench.sizes
        model = bench.model()
        last = length + self.decoded_tokens
        with torch.inference_mode(), bench.reaching(last):
            contexts = bench.tokens(batch, length)
            context = bench.context(model, contexts, last)
            moved = bench.step_bytes(model, context)
            decoder = Decoder(model, contexts[:, -1], context, bench.captured)

            def decode() -> None:
                decoder.again()
                for _ in range(self.decoded_tokens):
                    decoder.step()

            timed = bench.time(decode)
        flops = bench.step_flops(batch, length)
        for repeat, seconds in enumerate(seconds / self.decoded_tokens for seconds in timed.seconds):
            yield Sample("token_ms", 1000 * seconds, repeat)
            yield Sample("tokens_per_second", batch / seconds, repeat)
            yield Sample("bytes_per_second", moved / seconds, repeat)
            yield Sample("flops_per_second", flops / seconds, repeat)
        for repeat, seconds in enumerate(timed.device_seconds):
            yield Sample("device_token_ms", 1000 * seconds / self.decoded_tokens, repeat)
