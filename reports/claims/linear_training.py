"""The cost of training against the length."""

from typing import Any

from reports.claims import CONTRADICTED, MIXED, SUPPORTED, Finding, _evidence

FLAT = 0.1


class Claim:
    place = 39
    statement = (
        "The chunkwise form trains long sequences at linear cost: tokens per second do not fall as sequences grow."
    )
    published = "RetNet paper (arXiv 2307.08621), Section 2.2."
    rule = (
        "The slope of log training tokens/s against log length, over lengths a factor of four apart at one batch: "
        f"supported where at least -{FLAT} at every batch, contradicted where below at every batch, mixed otherwise."
    )

    def judge(self, result_set: Any) -> Finding | None:
        table = _evidence.slopes(result_set, "training", "tokens_per_second", "retnet", "sequence_length")
        if table.empty:
            return None
        flat = table["slope"] >= -FLAT
        verdict = SUPPORTED if flat.all() else MIXED if flat.any() else CONTRADICTED
        return Finding(verdict, f"RetNet: {_evidence.slope_words(table, 'sequence_length')}.", table)
