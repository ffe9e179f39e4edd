"""Beyond the training length."""

import dataclasses
from typing import Any

import pandas as pd

from reports import language, wording
from reports.claims import Finding, _beyond, _evidence, _questions


class Claim:
    place = 62
    question = _questions.LINEAR
    statement = "RetNet keeps its quality on sequences longer than those it was trained on."
    published = "GLA paper (arXiv 2312.06635): RetNet trained at 2k tokens extrapolates to about 18k."
    rule = (
        f"{_beyond.RULE}supported where the whole 95% interval of the change is below +{_beyond.LOSS:.0%}, "
        "contradicted where above, mixed where it holds it. The other models are judged alike and told beside: they "
        "change no verdict."
    )

    def judge(self, result_set: Any) -> Finding | None:
        told = language.at_lengths(result_set)
        mine = told[told["label"] == "retnet"]
        found = _beyond.judge(mine)
        if found is None:
            return None
        beside = {
            wording.title(model, model): other
            for model in sorted(set(told["label"]) & set(told["model"]) - {"retnet"})
            if (other := _beyond.judge(told[told["label"] == model])) is not None
        }
        change = {name: _beyond.change(other) for name, other in beside.items()}
        parts = [f"{name} {change[name]}, {other.verdict}" for name, other in beside.items()]
        text = found.text + (f" The same of others: {'; '.join(parts)}." if parts else "")
        at = _beyond.lengths(mine)
        own = f"bits per byte {at[0].lower()}{at[1:]}: RetNet {_beyond.change(found)}"
        short = ", ".join([own, *(f"{name} {value}" for name, value in change.items())])
        table = pd.concat([found.table, *(other.table for other in beside.values())], ignore_index=True)
        return _evidence.cautioned(result_set, dataclasses.replace(found, text=text, short=short, table=table))
