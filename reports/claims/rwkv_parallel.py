"""WKV can be trained in parallel."""

from typing import Any

import pandas as pd

from reports import intervals, wording
from reports.claims import Finding, _evidence, _questions


class Claim:
    place = 38
    question = _questions.RWKV
    statement = "RWKV can be trained in parallel, and is then at least as fast as step by step."
    published = (
        "The RetNet paper (arXiv 2307.08621), Table 1, says the opposite: no training parallelism. Readers "
        "object that WKV can be computed as a parallel scan or in chunks."
    )
    rule = (
        "Training tokens/s of RWKV's fastest parallel form over its step-by-step form, at the longest length that "
        "both ran. The step-by-step form is the definition, written in torch; on a GPU the parallel form is a program "
        f"of its own, so that the ratio is also one between these. {_evidence.SPEED_RULE}"
    )

    def judge(self, result_set: Any) -> Finding | None:
        told = _evidence.measured(result_set, "training", "tokens_per_second")
        told = told[told["model"] == "rwkv"].assign(slow=lambda part: part["form"] == "recurrent")
        return _evidence.unless_launches(told, _compared)


def _compared(told: pd.DataFrame) -> Finding | None:
    both = told.groupby(_evidence.CELL)["slow"].nunique().reset_index().sort_values(_evidence.CELL)
    both = both[both["slow"] == 2]
    if both.empty:
        return None
    here = told.merge(both.tail(1)[_evidence.CELL], on=_evidence.CELL)
    parts = [_evidence.entry(here[~here["slow"]], "rwkv"), _evidence.entry(here[here["slow"]], "rwkv")]
    value, low, high = intervals.ratio(parts[0]["value"], parts[1]["value"])
    form, length = parts[0]["form"].iloc[0], wording.number(here["sequence_length"].iloc[0])
    text = f"The {form} form trains {wording.interval(value, low, high)} times as fast as the recurrent one"
    text += f" at length {length}, {_evidence.IN_ONE}."
    table = pd.concat(parts).groupby(["label", "form", *_evidence.CELL, "point"])["value"].median().reset_index()
    table = table.rename(columns={"label": "series", "value": "tokens_per_second"})
    short = f"{value:.3g} times as fast at length {length}"
    return Finding(_evidence.by_margin(low, high, _evidence.MARGIN), text, table, short)
