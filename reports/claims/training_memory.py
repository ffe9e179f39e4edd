"""Training memory at a long length, with blocks recomputed going backward and without."""

from typing import Any

import pandas as pd

from reports import rows
from reports.claims import Finding, _evidence, _ratios, together

EQUAL = 0.05  # resident bytes of a process vary so much
MODELS = ("retnet", "transformer")
KINDS = {"false": "Without recomputing", "true": "With every block recomputed going backward"}


class Claim:
    place = 41
    statement = "RetNet needs less memory to train than a Transformer with fused attention."
    published = (
        "RetNet paper (arXiv 2307.08621), Table 4, length 8192: 34.5 against 38.8 GB at 1.3B, 45.9 against 46.3 GB "
        "at 13B."
    )
    rule = (
        "RetNet over Transformer in peak training bytes at the longest common length, at least 1024, both without "
        "going through blocks again and, where that was run, both with it; each in the variant that trains fastest "
        "there, as the claim about speed takes it. Bytes are counted, so there is no interval: supported where each "
        f"ratio is more than {EQUAL:.0%} below 1, contradicted where each is as much above, mixed otherwise. On a CPU "
        "the bytes are those of the whole process."
    )

    def judge(self, result_set: Any) -> Finding | None:
        counted: Any = {"better": "lower", "margin": EQUAL, "counted": True, "fastest": True}
        points = rows.comparable(result_set, "training")
        again = _evidence.recomputed(points)
        kept = {}
        for kind, words in KINDS.items():
            alike = points.loc[again == kind, "point"]
            found = _ratios.ratio(
                result_set, "training", "peak_bytes", MODELS, least=1024, points=set(alike), **counted
            )
            if found is not None:
                kept[words] = found
        if not kept:
            return None
        text = " ".join(f"{words}: {found.text}" for words, found in kept.items())
        table = pd.concat([found.table for found in kept.values()], ignore_index=True)
        return Finding(together(found.verdict for found in kept.values()), text, table)
