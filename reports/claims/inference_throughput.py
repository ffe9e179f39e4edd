"""Decoding throughput at a long context."""

from typing import Any

from reports.claims import Finding, _evidence, _ratios

MODELS = ("retnet", "transformer")


class Claim:
    place = 43
    statement = "RetNet decodes more tokens per second than a Transformer at a long context."
    published = (
        "RetNet paper (arXiv 2307.08621), Figure 1: 8.4 times at 6.7B with 8k tokens, against a cache whose "
        "implementation is not stated."
    )
    rule = (
        "RetNet over Transformer in decoded tokens/s at the longest common context, at least 1024, at every batch that "
        f"both ran there: the verdict of all batches where these agree, mixed where not. {_evidence.SPEED_RULE}"
    )

    def judge(self, result_set: Any) -> Finding | None:
        return _ratios.ratio(result_set, "decode", "tokens_per_second", MODELS, 1024, "every", margin=_evidence.MARGIN)
