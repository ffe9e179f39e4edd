"""RetNet and linear attention in prediction."""

from typing import Any

from reports.claims import Finding, _evidence, _questions

MODELS = ("retnet", "linear_attention")


class Claim:
    place = 51
    question = _questions.LINEAR
    statement = "RetNet predicts better than linear attention at an equal budget."
    published = (
        "RetNet paper (arXiv 2307.08621), Table 5, 200M parameters and 5B tokens, in-domain perplexity: 26.05 "
        "against 40.24."
    )
    rule = _evidence.ONE_BETTER

    def judge(self, result_set: Any) -> Finding | None:
        return _evidence.prediction(result_set, MODELS)
