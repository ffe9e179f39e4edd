"""How many times more tokens are decoded where each model has as large a batch as fits."""

from typing import Any

from reports.claims import Finding, _factors, _questions

FACTOR = 8.4


class Claim:
    place = 48
    question = _questions.FACTORS
    statement = (
        f"RetNet decodes {FACTOR} times as many tokens per second as a Transformer at 6.7 billion parameters and 8k "
        "tokens, where each decodes as many sequences at once as fit in the card's memory."
    )
    published = (
        "RetNet paper (arXiv 2307.08621), Figure 6b: 8.4 times at 6.7B with 8k tokens. That each ran its own largest "
        "batch is our reading, under which a good cache would come to such a factor."
    )
    rule = f"Decoded tokens/s, each at its own largest batch. {_factors.rule()}"

    def judge(self, result_set: Any) -> Finding | None:
        return _factors.judge(result_set, "largest_batch", "tokens_per_second", FACTOR)
