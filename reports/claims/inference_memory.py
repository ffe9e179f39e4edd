"""Inference memory at a long context."""

from typing import Any

from reports.claims import Finding, _ratios

MODELS = ("retnet", "transformer")


class Claim:
    place = 42
    statement = "RetNet needs less memory to decode than a Transformer at a long context."
    published = "RetNet paper (arXiv 2307.08621), Figure 1: 3.4 times less at 6.7B with 8k tokens."
    rule = (
        "RetNet over Transformer in state bytes at the longest common context, at least 1024, and the largest "
        "batch. Bytes are counted, so there is no interval: supported where the ratio is below 1, contradicted "
        "where above, mixed where it is 1. The state alone: weights are equal under the budget."
    )

    def judge(self, result_set: Any) -> Finding | None:
        return _ratios.ratio(result_set, "memory", "state_bytes", MODELS, least=1024, better="lower", counted=True)
