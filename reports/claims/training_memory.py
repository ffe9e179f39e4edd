"""Training memory at a long length."""

from typing import Any

from reports.claims import Finding, _ratios

EQUAL = 0.05  # resident bytes of a process vary so much
MODELS = ("retnet", "transformer")


class Claim:
    place = 41
    statement = "RetNet needs less memory to train than a Transformer with fused attention."
    published = (
        "RetNet paper (arXiv 2307.08621), Table 4, length 8192: 34.5 against 38.8 GB at 1.3B, 45.9 against 46.3 GB "
        "at 13B."
    )
    rule = (
        "RetNet over Transformer in peak training bytes at the longest common length, at least 1024, each in the "
        "variant that trains fastest there, as the claim about speed takes it. Bytes are "
        f"counted, so there is no interval: supported where the ratio is more than {EQUAL:.0%} below 1, contradicted"
        " where as much above, mixed between. On a CPU the bytes are those of the whole process."
    )

    def judge(self, result_set: Any) -> Finding | None:
        counted: Any = {"better": "lower", "margin": EQUAL, "counted": True, "fastest": True}
        return _ratios.ratio(result_set, "training", "peak_bytes", MODELS, least=1024, **counted)
