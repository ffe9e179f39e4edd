"""Decoding throughput at a short and a long context."""

from typing import Any

from reports.claims import Finding, _evidence, _questions, _ratios

LEAST = 1024
MODELS = ("retnet", "transformer")


class Claim:
    place = 43
    question = _questions.FACTORS
    statement = f"RetNet decodes more tokens per second than a Transformer at contexts of {LEAST:,} tokens and more."
    published = (
        "RetNet paper (arXiv 2307.08621), Figure 1: 8.4 times at 6.7B with 8k tokens, against a cache whose "
        "implementation is not stated."
    )
    rule = (
        f"RetNet over Transformer in decoded tokens/s at the shortest and the longest common context of {LEAST:,} or "
        "more, at every batch that both ran there, and where the Transformer has only variants the fastest of them: "
        f"the verdict of all where these agree, mixed where not. {_evidence.SPEED_RULE}"
    )

    def judge(self, result_set: Any) -> Finding | None:
        return _ratios.ratio(
            result_set, "decode", "tokens_per_second", MODELS, LEAST, "every", margin=_evidence.MARGIN, ends=True
        )
