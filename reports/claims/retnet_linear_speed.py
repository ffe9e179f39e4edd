"""RetNet and linear attention in cost."""

import dataclasses
from typing import Any

import pandas as pd

from reports import rows, wording
from reports.claims import Finding, _costs, _questions

MODELS = ("retnet", "linear_attention")


class Claim:
    place = 52
    question = _questions.LINEAR
    statement = "RetNet costs no more than linear attention to train, to read prompts with and to decode."
    published = (
        "RetNet paper (arXiv 2307.08621), Table 1: of both it says that they train in parallel and need O(1) per "
        "decoded token and O(N) memory for a long sequence; of performance, ++ for RetNet and - for a linear "
        "Transformer."
    )
    rule = f"RetNet over linear attention. {_costs.RULE}"

    def judge(self, result_set: Any) -> Finding | None:
        found = _costs.judge(result_set, MODELS)
        heads = {} if found is None else _heads(rows.behind(result_set.points, found.table))
        if found is None or len(set(heads.values())) < 2:
            return found
        each = [f"{wording.title(model, model)} {told}" for model, told in heads.items()]
        text, short = f"Heads differ in size: {wording.listed(each)}.", f"heads of {' against '.join(heads.values())}"
        return dataclasses.replace(found, text=f"{found.text} {text}", short=f"{found.short}, {short}")


def _heads(used: pd.DataFrame) -> dict[str, str]:
    """Of each model how large its heads of queries and keys are: '256', or all sizes there are."""
    sizes = pd.to_numeric(used["width"], errors="coerce") / pd.to_numeric(used["heads"], errors="coerce")
    if "option.head_size" in used:
        sizes = pd.to_numeric(used["option.head_size"], errors="coerce").fillna(sizes)
    each = sizes.dropna().groupby(used["model"]).unique()
    return {model: wording.listed([f"{size:.0f}" for size in sorted(each[model])]) for model in MODELS if model in each}
