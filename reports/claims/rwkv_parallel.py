"""WKV can be trained in parallel."""

import functools
from typing import Any

import pandas as pd

from reports import intervals, rows, wording
from reports.claims import Finding, _evidence, _questions

PROGRAM = "a program against steps in torch"


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
        "of its own, so that the ratio is also one between these; those of others stand beside it and decide nothing. "
        f"{_evidence.SPEED_RULE}"
    )

    def judge(self, result_set: Any) -> Finding | None:
        told = _evidence.measured(result_set, "training", "tokens_per_second")
        told = told.assign(slow=told["form"] == "recurrent")
        compare = functools.partial(_compared, told, programs=_programs(result_set.points))
        return _evidence.unless_launches(told[told["model"] == "rwkv"], compare)


def _programs(points: pd.DataFrame) -> set[str]:
    """The rows in which a parallel form of RWKV was a program of its own."""
    own = points["option.implementation"].astype(object) != "torch" if "option.implementation" in points else True
    return set(points.loc[(points["device"] == "cuda") & own, "point"])


def _compared(every: pd.DataFrame, told: pd.DataFrame, programs: set[str]) -> Finding | None:
    """RWKV's two forms in `told`, and of `every` model the same at the same place."""
    both = told.groupby(_evidence.CELL)["slow"].nunique().reset_index().sort_values(_evidence.CELL)
    both = both[both["slow"] == 2]
    if both.empty:
        return None
    at = both.iloc[-1][_evidence.CELL]
    parts = _forms(rows.alike(told, at), "rwkv")
    value, low, high = intervals.ratio(parts[0]["value"], parts[1]["value"])
    form, length = parts[0]["form"].iloc[0], wording.number(at["sequence_length"])
    text = f"The {form} form trains {wording.interval(value, low, high)} times as fast as the recurrent one"
    text += f" at length {length}, {_evidence.IN_ONE}."
    table = pd.concat(parts).groupby(["label", "form", *_evidence.CELL, "point"])["value"].median().reset_index()
    table = table.rename(columns={"label": "series", "value": "tokens_per_second"})
    short = f"{value:.3g} times as fast at length {length}"
    short += f", {PROGRAM}" if programs & set(parts[0]["point"]) else ""
    if others := _others(rows.alike(every[every["launches"].isin(told["launches"])], at)):
        text, short = f"{text} The same of others: {others}.", f"{short} (the same of others: {others})"
    return Finding(_evidence.by_margin(low, high, _evidence.MARGIN), text, table, short)


def _forms(here: pd.DataFrame, model: str) -> list[pd.DataFrame]:
    """The fastest parallel form and the step-by-step one."""
    return [_evidence.entry(here[here["slow"] == slow], model) for slow in (False, True)]


def _others(here: pd.DataFrame) -> str:
    """'RetNet 41.1, Transformer 44.4': the same ratio of every other model that ran both."""
    ratios = {}
    for model in sorted(set(here["model"]) - {"rwkv"}):
        fast, slow = _forms(here, model)
        if len(fast) and len(slow):
            ratios[wording.title(model, model)] = intervals.ratio(fast["value"], slow["value"])[0]
    return ", ".join(f"{name} {value:.3g}" for name, value in ratios.items())
