"""How many times faster RetNet trains than attention whose weights are written out."""

from typing import Any

from reports.claims import Finding, _evidence, _factors

FACTORS = {1_300_000_000: 6.8, 2_700_000_000: 7.5, 6_700_000_000: 6.3, 13_000_000_000: 7.1}  # by parameters
LEAST = 1_000_000_000  # parameters that stand for the paper's smallest


class Claim:
    place = 49
    statement = (
        f"At a length of 8k RetNet trains {min(FACTORS.values())} to {max(FACTORS.values())} times as fast as a "
        "Transformer without fused attention, by its size."
    )
    published = (
        "RetNet paper (arXiv 2307.08621), Table 4, 8 A100, tokens/s: 73344.8 against 10832.4 at 1.3B (6.8 times), "
        "38921.2 against 5186.0 at 2.7B (7.5), 17458.6 against 2754.4 at 6.7B (6.3), 8642.2 against 1208.9 at 13B "
        "(7.1)."
    )
    rule = (
        f"Training tokens/s of models of {LEAST:,} parameters or more at a length of {_factors.LENGTH:,} and the "
        "largest batch that both ran, both with blocks recomputed going backward or both without, against the factor "
        f"at the nearest of the paper's sizes: supported where {_factors.WITHIN}, contradicted where all of it is "
        f"further below, mixed otherwise. {_evidence.LAUNCH_RULE}"
    )

    def judge(self, result_set: Any) -> Finding | None:
        return _factors.judge(
            result_set, "training", "tokens_per_second", FACTORS, rivals=_factors.WRITTEN_OUT, least=LEAST
        )
