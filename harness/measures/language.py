"""How well a model predicts text that it has not seen, once the training budget is spent.

Trained on the corpus's training documents in the model's default form, scored on documents of two other splits: the
tuning split chooses the learning rate, the held-out one is what is reported. The training length, a half and a quarter
of it, and 2, 4, 8 and 16 times as much score the same bytes (`harness.scoring`): what more context before them is
worth, and whether the model stands longer ones. A length is left out where the text is too short for it, where the
model ends with its position table, where halving leaves a rest, or where the point's limit would be passed.

About a sixteenth as many bytes are scored at each length as tokens are trained on, `SCORED` where the budget is not one
of tokens; and always four sequences of the longest length.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.measures import Metric, NotApplicable, Progress, Sample
from harness.point import Point, Training

if TYPE_CHECKING:
    from harness.bench import Bench

DOUBLINGS, HALVINGS, SHORTEST = 4, 2, 8
SCORED, MOST_SCORED = 2**16, 2**19


class Measure:
    title = "Language"
    metrics = {
        "bits_per_byte": Metric("bits/byte", "lower", "of held-out text; whole sequences, and by position bucket"),
        "tuning_bits_per_byte": Metric("bits/byte", "lower", "of the tuning split; chooses the learning rate"),
        "order0_entropy": Metric("bits/byte", None, "of the held-out bytes that were scored, from their counts alone"),
    }
    factors = ("dtype",)
    trains = True
    reads_corpus = True
    captured = True

    def run(self, point: Point, bench: "Bench") -> Iterator[Sample | Progress]:
        import time

        from harness import checkpoint, scoring, training

        settings = point.training
        assert settings is not None
        corpus, model, length = bench.corpus(), bench.model(), settings.sequence_length
        tuning = scoring.blocks(corpus.tuning, length, 0, _most(settings))
        scored = scoring.blocks(corpus.held_out, length, DOUBLINGS, _most(settings))
        if not len(tuning) or not len(scored):
            raise NotApplicable(f"{corpus.told}; sequences of {length:,} bytes need a longer text in each")
        with bench.reaching(length):
            yield from training.train(model, corpus.train, settings, point.seed, bench.form, bench.checkpoint)
        yield Sample("tuning_bits_per_byte", float(scoring.bits(model, tuning, bench.form).mean()), length=length)
        yield Sample("order0_entropy", scoring.order0_entropy(scored[:, 1:]), length=length)
        spent = 0.0
        for each in _lengths(length, scored.shape[1] - 1):
            if 2 * spent >= bench.seconds_left:
                break
            began = time.monotonic()
            try:
                with bench.reaching(each):
                    at = scoring.bits(model, scoring.sequences(scored, each), bench.form)
            except NotApplicable:  # its positions end here
                break
            yield Sample("bits_per_byte", float(at.mean()), length=each)
            for end, mean in scoring.by_position(at):
                yield Sample("bits_per_byte", mean, length=each, bucket=end)
            spent = time.monotonic() - began
        checkpoint.remove(bench.checkpoint)


def _lengths(trained: int, longest: int) -> list[int]:
    """The training length, then shorter ones that cut blocks of the longest one without a rest, then longer ones."""
    shorter = [trained >> i for i in range(1, HALVINGS + 1) if trained % (1 << i) == 0 and trained >> i >= SHORTEST]
    return [trained, *shorter, *(trained << i for i in range(1, DOUBLINGS + 1) if trained << i <= longest)]


def _most(settings: Training) -> int:
    return SCORED if settings.tokens is None else min(MOST_SCORED, settings.tokens // 16)
