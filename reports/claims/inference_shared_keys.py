"""Decoding throughput against a Transformer whose heads share keys."""

from typing import Any

import pandas as pd

from reports import rows
from reports.claims import Finding, _evidence, _questions, _ratios

LEAST = 1024
MODELS = ("retnet", "transformer")


class Claim:
    place = 37
    question = _questions.FACTORS
    statement = (
        "RetNet decodes more tokens per second than a Transformer whose heads share keys and values, at contexts of "
        f"{LEAST:,} tokens and more."
    )
    published = (
        "The RetNet paper (arXiv 2307.08621) compares with none. Sharing divides a cache by the heads that share: one "
        "key head for all in Shazeer 2019 (arXiv 1911.02150), one for each group in Ainslie et al. 2023 (arXiv "
        "2305.13245)."
    )
    rule = (
        "RetNet over the fastest Transformer with a number of key heads of its own, in decoded tokens/s at the "
        f"shortest and the longest common context of {LEAST:,} or more, at every batch that both ran there: the "
        f"verdict of all where these agree, mixed where not. {_evidence.SPEED_RULE}"
    )

    def judge(self, result_set: Any) -> Finding | None:
        points = rows.comparable(result_set, "decode")
        if "option.kv_heads" not in points:
            return None
        shared = pd.to_numeric(points["option.kv_heads"], errors="coerce").notna()
        kept = points.loc[shared | (points["model"] == "retnet"), "point"]
        return _ratios.ratio(
            result_set, "decode", "tokens_per_second", MODELS, LEAST, "every", margin=_evidence.MARGIN, ends=True,
            points=set(kept),
        )  # fmt: skip
