"""Decode latency against the context."""

from typing import Any

from reports.claims import Finding, _questions, _slopes

FLAT = 0.05  # 3.5% for every doubling
SWING = 1.25


class Claim:
    place = 30
    question = _questions.FLAT
    statement = "RetNet's decoding latency stays the same as the input grows."
    published = "RetNet paper (arXiv 2307.08621), Figure 6c: 6.7B, one A100, lengths 2048 to 8192."
    rule = _slopes.flat_rule("context", "contexts", "batch", FLAT, SWING)

    def judge(self, result_set: Any) -> Finding | None:
        return _slopes.flat_latency(result_set, "sequence_length", FLAT, SWING)
