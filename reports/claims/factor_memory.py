"""How many times less memory decoding takes, against two Transformers."""

from typing import Any

from reports.claims import Finding, _factors

FACTOR = 3.4


class Claim:
    place = 45
    statement = (
        f"At 6.7 billion parameters and 8k tokens RetNet needs {FACTOR} times less memory than a Transformer to decode."
    )
    published = (
        "RetNet paper (arXiv 2307.08621), Figures 1 and 6a: 3.4 times less at 6.7B with 8k tokens; batch not stated."
    )
    rule = f"Bytes of weights and of the state or cache. {_factors.rule(_factors.COUNTED)}"

    def judge(self, result_set: Any) -> Finding | None:
        metrics = ("weights_bytes", "state_bytes")
        return _factors.judge(result_set, "memory", metrics, FACTOR, better="lower", margin=0)
