"""Decode latency against the batch."""

from typing import Any

from reports.claims import Finding, _questions, _slopes

FLAT = 0.1  # 7% for every doubling
SWING = 1.5


class Claim:
    place = 31
    question = _questions.FLAT
    statement = "RetNet's decoding latency stays almost the same across batch sizes."
    published = "RetNet paper (arXiv 2307.08621), Figure 6c: 6.7B, one A100, batches 1 to 8."
    rule = _slopes.flat_rule("batch", "batches", "context", FLAT, SWING)

    def judge(self, result_set: Any) -> Finding | None:
        return _slopes.flat_latency(result_set, "batch_size", FLAT, SWING)
