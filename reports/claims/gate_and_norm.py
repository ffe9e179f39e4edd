"""The gate and the norm per head."""

from typing import Any

from reports.claims import Finding, _evidence, _questions


class Claim:
    place = 63
    question = _questions.LINEAR
    statement = "RetNet's output gate and its norm per head each help prediction."
    published = (
        "RetNet paper (arXiv 2307.08621), Table 6, in-domain perplexity: 26.05 with both, 27.84 without the gate, "
        "27.54 without the norm."
    )
    rule = f"With the part against without it, else equal. {_evidence.ALL_BETTER}"

    def judge(self, result_set: Any) -> Finding | None:
        pairs = [
            (usual, changed)
            for option in ("gate", "group_norm")
            for changed, usual in _evidence.option_pairs(result_set, option, "false", "true")
        ]
        return _evidence.all_better(result_set, "retnet", pairs)
