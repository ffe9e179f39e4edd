"""How many times shorter a decode step is, against two Transformers."""

from typing import Any

from reports.claims import Finding, _factors, _questions

FACTOR = 15.6


class Claim:
    place = 47
    question = _questions.FACTORS
    statement = f"At 6.7 billion parameters and 8k tokens a decode step of RetNet is {FACTOR} times shorter."
    published = (
        "RetNet paper (arXiv 2307.08621), Figures 1 and 6c: 15.6 times at 6.7B with 8k tokens, batches of 1 to 8."
    )
    rule = f"Milliseconds of a decode step at the same batch. {_factors.rule()}"

    def judge(self, result_set: Any) -> Finding | None:
        return _factors.judge(result_set, "decode", "token_ms", FACTOR, better="lower")
