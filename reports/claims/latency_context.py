"""Decode latency against the context."""

from typing import Any

from reports.claims import CONTRADICTED, SUPPORTED, Finding, _evidence, together

FLAT = 0.05  # 3.5% for every doubling


class Claim:
    place = 30
    statement = "RetNet's decoding latency stays the same as the input grows."
    published = "RetNet paper (arXiv 2307.08621), Figure 6c: 6.7B, one A100, lengths 2048 to 8192."
    rule = (
        "For every batch measured over contexts a factor of four apart: flat where the slope of log latency against"
        f" log context is at most {FLAT}. Supported where all are flat, contradicted where none is, mixed otherwise."
    )

    def judge(self, result_set: Any) -> Finding | None:
        table = _evidence.slopes(result_set, "decode", "token_ms", "retnet", "sequence_length")
        if table.empty:
            return None
        verdict = together(SUPPORTED if slope <= FLAT else CONTRADICTED for slope in table["slope"])
        return Finding(verdict, f"RetNet: {_evidence.slope_words(table, 'sequence_length')}.", table)
