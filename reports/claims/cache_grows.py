"""A key-value cache grows with the context."""

from typing import Any

from reports.claims import CONTRADICTED, SUPPORTED, Finding, _slopes

PROPORTIONAL = 0.9


class Claim:
    place = 32
    statement = (
        "The softmax forbids reordering the computation, so a Transformer must keep every key and value: its state "
        "grows with the context."
    )
    published = "RetNet paper (arXiv 2307.08621), Section 1 and Figure 6a."
    rule = (
        f"Supported where the slope of log state bytes against log context is at least {PROPORTIONAL} at every "
        "batch, contradicted where at none, mixed otherwise."
    )

    def judge(self, result_set: Any) -> Finding | None:
        return _slopes.judge(
            result_set, "memory", "state_bytes", "transformer", "sequence_length",
            lambda line: SUPPORTED if line["slope"] >= PROPORTIONAL else CONTRADICTED,
        )  # fmt: skip
