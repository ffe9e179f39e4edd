"""Downstream tasks."""

from typing import Any

from reports.claims import Finding, _ratios


class Claim:
    place = 91
    statement = "RetNet answers zero- and few-shot tasks better than a Transformer."
    published = (
        "RetNet paper (arXiv 2307.08621), Table 3, 6.7B: zero-shot mean 69.51 against 66.07%, four-shot 69.76 "
        "against 66.44%."
    )
    rule = (
        "No measure yet: nothing here runs such tasks, so no result set can say anything. With accuracies from a "
        "measure lm_eval it would be RetNet over Transformer: supported where the whole 95% interval of the ratio "
        "is above 1, contradicted where below, mixed where it holds 1."
    )

    def judge(self, result_set: Any) -> Finding | None:
        return _ratios.ratio(result_set, "lm_eval", "accuracy", ("retnet", "transformer"))
