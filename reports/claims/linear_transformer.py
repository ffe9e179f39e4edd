"""Linear attention and Transformer in prediction."""

from typing import Any

from reports.claims import Finding, _evidence

MODELS = ("transformer", "linear_attention")


class Claim:
    place = 52
    statement = "Linear attention, which gains recurrent inference, predicts worse than a Transformer."
    published = "RetNet paper (arXiv 2307.08621), Section 1."
    rule = (
        "The Transformer against linear attention. Bits per byte under one budget, seed by seed, at least three "
        "seeds: supported where the whole 95% interval of the change is below zero, contradicted where above, mixed"
        " where it holds zero."
    )

    def judge(self, result_set: Any) -> Finding | None:
        return _evidence.prediction(result_set, MODELS)
