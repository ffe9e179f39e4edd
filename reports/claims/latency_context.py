"""Decode latency against the context."""

from typing import Any

from reports.claims import Finding, _slopes

FLAT = 0.05  # 3.5% for every doubling
SWING = 1.25


class Claim:
    place = 30
    statement = "RetNet's decoding latency stays the same as the input grows."
    published = "RetNet paper (arXiv 2307.08621), Figure 6c: 6.7B, one A100, lengths 2048 to 8192."
    rule = (
        f"For every batch measured over contexts a factor of {_slopes.SPAN} apart, the slope of log latency against "
        f"log context: flat where its whole 95% interval is within ±{FLAT} and no median is more than {SWING} times "
        f"another, not flat where the whole interval is outside ±{FLAT}. Supported where all are flat, contradicted "
        f"where all are not, mixed otherwise ({_slopes.OVER})."
    )

    def judge(self, result_set: Any) -> Finding | None:
        return _slopes.judge(
            result_set, "decode", "token_ms", "retnet", "sequence_length", lambda line: _slopes.flat(line, FLAT, SWING)
        )
