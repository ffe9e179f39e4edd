"""RetNet and linear attention in cost."""

from typing import Any

from reports.claims import Finding, _costs, _questions

MODELS = ("retnet", "linear_attention")


class Claim:
    place = 52
    question = _questions.LINEAR
    statement = "RetNet costs no more than linear attention to train, to read prompts with and to decode."
    published = (
        "RetNet paper (arXiv 2307.08621), Table 1: of both it says that they train in parallel and need O(1) per "
        "decoded token and O(N) memory for a long sequence; of performance, ++ for RetNet and - for a linear "
        "Transformer."
    )
    rule = f"RetNet over linear attention. {_costs.RULE}"

    def judge(self, result_set: Any) -> Finding | None:
        return _costs.judge(result_set, MODELS)
