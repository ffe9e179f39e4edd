"""Decode latency against the batch."""

from typing import Any

from reports.claims import CONTRADICTED, SUPPORTED, Finding, _evidence, together

FLAT = 0.1  # 7% for every doubling


class Claim:
    place = 31
    statement = "RetNet's decoding latency stays almost the same across batch sizes."
    published = "RetNet paper (arXiv 2307.08621), Figure 6c: 6.7B, one A100, batches 1 to 8."
    rule = (
        "For every context measured over batches a factor of four apart: flat where the slope of log latency "
        f"against log batch is at most {FLAT}. Supported where all are flat, contradicted where none is, mixed "
        "otherwise."
    )

    def judge(self, result_set: Any) -> Finding | None:
        table = _evidence.slopes(result_set, "decode", "token_ms", "retnet", "batch_size")
        if table.empty:
            return None
        verdict = together(SUPPORTED if slope <= FLAT else CONTRADICTED for slope in table["slope"])
        return Finding(verdict, f"RetNet: {_evidence.slope_words(table, 'batch_size')}.", table)
