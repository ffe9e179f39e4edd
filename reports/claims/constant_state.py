"""Retention needs no cache that grows."""

from typing import Any

from reports.claims import CONTRADICTED, SUPPORTED, Finding, _slopes


class Claim:
    place = 33
    statement = "RetNet needs no key-value cache: its state has one size at every context."
    published = "RetNet paper (arXiv 2307.08621), Sections 2.1 and 3.4 (O(1) inference)."
    rule = (
        "Supported where the state has exactly the same bytes at every context of a batch, contradicted where at none."
    )

    def judge(self, result_set: Any) -> Finding | None:
        return _slopes.judge(
            result_set, "memory", "state_bytes", "retnet", "sequence_length",
            lambda line: SUPPORTED if line["largest_over_smallest"] == 1 else CONTRADICTED,
        )  # fmt: skip
