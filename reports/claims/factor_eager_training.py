"""How many times faster RetNet trains than attention whose weights are written out."""

from typing import Any

from reports.claims import Finding, _factors

FACTOR = 6.8


class Claim:
    place = 49
    statement = f"At a length of 8k RetNet trains {FACTOR} times as fast as a Transformer without fused attention."
    published = (
        "RetNet paper (arXiv 2307.08621), Table 4, 1.3B on 8 A100: 73344.8 against 10832.4 tokens/s (6.8 times), and "
        "7.5 times at 2.7B."
    )
    rule = (
        "Training tokens/s of models of a billion parameters or more at a length of 8192 and the largest batch that "
        "both ran, both with blocks recomputed going backward or both without: supported where the whole 95% interval "
        "of the ratio is no more than 10% below the factor, contradicted where all of it is, mixed otherwise."
    )

    def judge(self, result_set: Any) -> Finding | None:
        return _factors.judge(
            result_set, "training", ("tokens_per_second",), FACTOR, rivals=_factors.WRITTEN_OUT, least=10**9
        )
