"""RetNet and RWKV in prediction."""

from typing import Any

from reports.claims import Finding, _evidence, _questions

MODELS = ("retnet", "rwkv")


class Claim:
    place = 54
    question = _questions.RWKV
    statement = "RetNet predicts better than RWKV at an equal budget."
    published = (
        "The sources disagree. RetNet paper (arXiv 2307.08621), Table 5, in-domain perplexity: RetNet 26.05, RWKV "
        "30.92. xLSTM paper (arXiv 2405.04517), SlimPajama 15B: RetNet 16.23, RWKV-4 15.62."
    )
    rule = _evidence.ONE_BETTER

    def judge(self, result_set: Any) -> Finding | None:
        return _evidence.prediction(result_set, MODELS)
