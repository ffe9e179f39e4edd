"""How many times more tokens are decoded, against two Transformers."""

from typing import Any

from reports.claims import Finding, _factors, _questions

FACTOR = 8.4


class Claim:
    place = 46
    question = _questions.FACTORS
    statement = f"At 6.7 billion parameters and 8k tokens RetNet decodes {FACTOR} times as many tokens per second."
    published = "RetNet paper (arXiv 2307.08621), Figures 1 and 6b: 8.4 times at 6.7B with 8k tokens; batch not stated."
    rule = f"Decoded tokens/s at the same batch. {_factors.rule()}"

    def judge(self, result_set: Any) -> Finding | None:
        return _factors.judge(result_set, "decode", "tokens_per_second", FACTOR)
