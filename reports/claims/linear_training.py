"""The cost of training against the length."""

from typing import Any

from reports.claims import MIXED, SUPPORTED, Finding, _evidence, _slopes

FLAT, FALL = 0.1, 1.5


class Claim:
    place = 39
    statement = (
        "The chunkwise form trains long sequences at linear cost: tokens per second do not fall as sequences grow."
    )
    published = "RetNet paper (arXiv 2307.08621), Section 2.2."
    rule = (
        f"The slope of log training tokens/s against log length, over lengths a factor of {_slopes.SPAN} apart at one "
        "batch, or at one number of tokens per step where more lengths share that than a batch: supported where the "
        f"whole 95% interval is above -{FLAT} and no median is {FALL} times that of a longer length, contradicted "
        f"where below -{FLAT}, at every batch; mixed otherwise ({_slopes.OVER})."
    )

    def judge(self, result_set: Any) -> Finding | None:
        return _slopes.judge(
            result_set, "training", "tokens_per_second", "retnet", "sequence_length", _verdict, "higher", True
        )


def _verdict(line: dict) -> str:
    told = _evidence.by_interval(line["low"], line["high"], -FLAT)
    return MIXED if told == SUPPORTED and line["largest_fall"] > FALL else told
