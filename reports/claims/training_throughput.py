"""Training throughput at a long length."""

from typing import Any

from reports.claims import Finding, _evidence, _ratios

MODELS = ("retnet", "transformer")


class Claim:
    place = 40
    statement = "RetNet trains faster than a Transformer with fused attention on long sequences."
    published = (
        "RetNet paper (arXiv 2307.08621), Table 4, length 8192 on 8 A100: 73344.8 against 63965.2 tokens/s at 1.3B "
        "(1.15 times), 8642.2 against 7945.1 at 13B (1.09 times)."
    )
    rule = (
        "RetNet over Transformer in training tokens/s at the longest common length, at least 1024. "
        f"{_evidence.SPEED_RULE}"
    )

    def judge(self, result_set: Any) -> Finding | None:
        return _ratios.ratio(result_set, "training", "tokens_per_second", MODELS, least=1024, margin=_evidence.MARGIN)
