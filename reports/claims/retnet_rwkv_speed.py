"""RWKV and RetNet in cost."""

from typing import Any

from reports.claims import Finding, _costs, _questions

MODELS = ("rwkv", "retnet")


class Claim:
    place = 55
    question = _questions.RWKV
    statement = "RWKV-4 costs no more than RetNet to train, to read prompts with and to decode."
    published = (
        "RetNet paper (arXiv 2307.08621), Table 1: both need O(1) per decoded token and O(N) memory for a long "
        "sequence, but RWKV has no training parallelism. RWKV paper (arXiv 2305.13048), abstract: computations are "
        'parallel during training, and the model "maintains constant computational and memory complexity during '
        'inference".'
    )
    rule = f"RWKV-4 over RetNet. {_costs.RULE}"

    def judge(self, result_set: Any) -> Finding | None:
        return _costs.judge(result_set, MODELS)
