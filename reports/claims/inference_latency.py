"""Decoding latency at a long context."""

from typing import Any

from reports.claims import Finding, _evidence, _ratios

MODELS = ("retnet", "transformer")


class Claim:
    place = 44
    statement = "RetNet answers a single request faster than a Transformer at a long context."
    published = "RetNet paper (arXiv 2307.08621), Figure 1: 15.6 times lower latency at 6.7B with 8k tokens."
    rule = (
        "RetNet over Transformer in ms per token at the longest common context, at least 1024, and the smallest "
        f"batch. {_evidence.SPEED_RULE}"
    )

    def judge(self, result_set: Any) -> Finding | None:
        return _ratios.ratio(
            result_set, "decode", "token_ms", MODELS, 1024, "smallest", better="lower", margin=_evidence.MARGIN
        )
