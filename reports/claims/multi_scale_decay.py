"""Heads with different decays."""

from typing import Any

from reports.claims import Finding, _evidence, _questions

MULTI_SCALE = ("paper", "torchscale")
OTHERS = ("none", "single")  # no decay, and one decay for all heads


class Claim:
    place = 60
    question = _questions.LINEAR
    statement = "Heads that forget at different rates predict better than no decay and than one decay for all."
    published = (
        "RetNet paper (arXiv 2307.08621), Table 6, in-domain perplexity: multi-scale 26.05, no decay 27.86, one "
        "decay 27.02."
    )
    rule = f"Each multi-scale schedule against each of the two, else equal. {_evidence.ALL_BETTER}"

    def judge(self, result_set: Any) -> Finding | None:
        pairs = [
            (usual, changed)
            for other in OTHERS
            for schedule in MULTI_SCALE
            for changed, usual in _evidence.option_pairs(result_set, "gamma", other, schedule)
        ]
        return _evidence.all_better(result_set, "retnet", pairs)
