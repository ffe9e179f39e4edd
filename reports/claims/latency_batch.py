"""Decode latency against the batch."""

from typing import Any

from reports.claims import Finding, _slopes

FLAT = 0.1  # 7% for every doubling
SWING = 1.5


class Claim:
    place = 31
    statement = "RetNet's decoding latency stays almost the same across batch sizes."
    published = "RetNet paper (arXiv 2307.08621), Figure 6c: 6.7B, one A100, batches 1 to 8."
    rule = (
        f"For every context measured over batches a factor of {_slopes.SPAN} apart, the slope of log latency against "
        f"log batch: flat where its whole 95% interval is within ±{FLAT} and no median is more than {SWING} times "
        f"another, not flat where the whole interval is outside ±{FLAT}. Supported where all are flat, contradicted "
        f"where all are not, mixed otherwise ({_slopes.OVER})."
    )

    def judge(self, result_set: Any) -> Finding | None:
        return _slopes.judge(
            result_set, "decode", "token_ms", "retnet", "batch_size", lambda line: _slopes.flat(line, FLAT, SWING)
        )
