"""Linear attention and Transformer in prediction."""

from typing import Any

from reports.claims import Finding, _evidence

MODELS = ("transformer", "linear_attention")


class Claim:
    place = 53
    statement = "Linear attention, which gains recurrent inference, predicts worse than a Transformer."
    published = "RetNet paper (arXiv 2307.08621), Section 1."
    rule = f"The Transformer against linear attention. {_evidence.ONE_BETTER}"

    def judge(self, result_set: Any) -> Finding | None:
        return _evidence.prediction(result_set, MODELS)
