"""Identities between formulas."""

from typing import Any

from reports.claims import Finding


class Claim:
    place = 92
    statement = (
        "RetNet is linear attention with a rotation and an explicit decay; RWKV is a mixture of linear attention "
        "and AFT; D joins the causal mask and the decay."
    )
    published = "RetNet paper (arXiv 2307.08621), Section 2.4 (relation to other models)."
    rule = "Identities between formulas: the tests of the models hold them, exactly. No table of results can say more."

    def judge(self, result_set: Any) -> Finding | None:
        return None
