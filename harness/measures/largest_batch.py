"""How many sequences a model can decode at once after a context of n tokens, and how fast it decodes that many.

One sequence is read, and its state is repeated for the others: what they hold is the same, and only sizes decide time
and memory. What decoding 1 and `PROBE` sequences takes at the peak tells what each sequence adds; the first guess is as
many as the device's memory, or the point's limit, has room for. It is then tried: where memory runs out the next guess
is halfway down to the largest that worked, and halfway up again, until the two are within `NEAR`. The largest that
worked is timed, step by step from the context, each captured where `decode` captures it. A cache that is copied for
every token is there twice meanwhile, before and after. Beside a limit on the CPU a try too many ends the whole point,
so `MARGIN` stays free.
"""

import dataclasses
import functools
import gc
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from harness.measures import Metric, NotApplicable, Progress, Sample
from harness.point import MOST, Point

if TYPE_CHECKING:
    from harness.bench import Bench
    from harness.memory import Peak
    from harness.timing import Timing
    from models._lm import LanguageModel
    from models._state import State

PROBE = 2
MARGIN = 0.03  # of the memory
NEAR = 1 / 32  # of the largest batch that worked


class Measure:
    title = "Largest batch"
    metrics = {
        "largest_batch": Metric("sequences", "higher", "that fit in memory while each is given one more token"),
        "tokens_per_second": Metric("tokens/s", "higher", "tokens decoded per second, over that batch"),
        "token_ms": Metric("ms", "lower", "time of one step, which gives each sequence of that batch one more token"),
        "bytes_per_second": Metric("bytes/s", "higher", "weights and state, as a step must move them, over its time"),
        "flops_per_second": Metric("FLOP/s", "higher", "of a step, as many as are needed"),
        "peak_bytes": Metric("bytes", None, "peak at that batch: held by tensors on cuda, resident on the cpu"),
    }
    factors = ("sequence_length", "dtype")
    trains = False
    reads_corpus = False
    captured = True
    reads_context = True
    decoded_tokens = 1

    def run(self, point: Point, bench: "Bench") -> Iterator[Sample | Progress]:
        import torch

        from harness.graphs import WARM_CALLS

        assert point.sequence_length is not None
        length = point.sequence_length
        with torch.inference_mode(), bench.reaching(length + self.decoded_tokens):
            model = bench.model()
            seed = bench.context(model, bench.tokens(1, length), length + WARM_CALLS)
            crowd = Crowd(model, bench, moved(seed, "cpu"))
            del seed
            batch = largest(crowd.fits, crowd.guess())
            timed, peak = crowd.timed(batch)
            touched = bench.step_bytes(model, repeated(crowd.seed, batch, "meta"))
            flops = bench.step_flops(batch, length)
        yield Sample("largest_batch", batch)
        for repeat, seconds in enumerate(timed.seconds):
            yield Sample("token_ms", 1000 * seconds, repeat)
            yield Sample("tokens_per_second", batch / seconds, repeat)
            yield Sample("bytes_per_second", touched / seconds, repeat)
            yield Sample("flops_per_second", flops / seconds, repeat)
        if peak is not None:
            yield Sample("peak_bytes", peak.held_bytes)


class Crowd:
    """Any number of sequences after one context, decoding."""

    def __init__(self, model: "LanguageModel", bench: "Bench", seed: "State"):
        self.model, self.bench, self.seed = model, bench, seed  # the state of one sequence, in the host's memory

    def guess(self) -> int:
        """As many sequences as there is memory for, by the peaks of few."""
        try:
            few, more = (self.bench.peak(functools.partial(self.once, n)).held_bytes for n in (1, PROBE))
        except NotApplicable:  # nothing counts it here
            few, more = sum(p.nbytes for p in self.model.parameters()), 0
        except RuntimeError as error:
            raise_others(error)
            return 1
        each = max((more - few) / (PROBE - 1), self.seed.nbytes, 1)
        room = (1 - MARGIN) * self.bench.memory.most(self.bench.point.limit_bytes) - few
        return max(1, min(MOST["batch_size"], 1 + int(room / each)))

    def fits(self, batch: int) -> bool:
        """Whether a step of so many sequences runs, as it is timed."""
        try:
            self.once(batch)
        except RuntimeError as error:
            raise_others(error)
            return False
        return True

    def once(self, batch: int) -> None:
        gc.collect()  # what was tried before, and its captured graph, hold their memory until they are gone themselves
        self.work(batch)()

    def timed(self, batch: int) -> "tuple[Timing, Peak | None]":
        """The times of a step, and the peak around all of it where something counts it."""
        found: list[Timing] = []

        def work() -> None:
            found.append(self.bench.time(self.work(batch)))

        try:
            peak = self.bench.peak(work)
        except NotApplicable:
            work()
            return found[0], None
        return found[0], peak

    def work(self, batch: int) -> Callable[[], None]:
        """One more token, always from the context, of so many sequences, each with a last token of its own."""
        from harness.decoding import Decoder

        context = repeated(self.seed, batch, self.bench.point.device)
        decoder = Decoder(self.model, self.bench.tokens(batch, 1)[:, 0], context, self.bench.captured)

        def step() -> None:
            decoder.again()
            decoder.step()

        return step


def largest(fits: Callable[[int], bool], guess: int) -> int:
    """The largest number that was seen to fit, from a guess at it. Raises MemoryError where not even 1 does."""
    if fits(guess):
        return guess
    good, bad = 0, guess
    while bad - good > max(1, NEAR * good):
        tried = (good + bad) // 2
        if fits(tried):
            good = tried
        else:
            bad = tried
    if not good:
        raise MemoryError("not enough memory for a batch of 1")
    return good


def raise_others(error: RuntimeError) -> None:
    """Raises what is not, and did not come of, a want of memory."""
    from harness.child import is_out_of_memory

    if not any(is_out_of_memory(each) for each in (error, error.__context__) if each is not None):
        raise error


def moved(state: "State", device: str) -> "State":
    return dataclasses.replace(state, layers=[{k: v.to(device) for k, v in layer.items()} for layer in state.layers])


def repeated(state: "State", batch: int, device: str) -> "State":
    """The state of one sequence, so many times: every tensor of a state has the batch first."""

    import torch

    def grown(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(device).expand(batch, *tensor.shape[1:]).clone(memory_format=torch.contiguous_format)

    return dataclasses.replace(state, layers=[{k: grown(v) for k, v in layer.items()} for layer in state.layers])
