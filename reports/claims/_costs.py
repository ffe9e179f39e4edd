"""What one model costs beside another: training, prompts, decoding at every batch, and the state.

A cost is judged as being no worse than the other's, each kind by itself: that two are alike in one and apart in another
is what a reader wants to know.
"""

import functools
from typing import Any

import pandas as pd

from reports import wording
from reports.claims import CONTRADICTED, MIXED, SUPPORTED, Finding, _evidence, _ratios, together

LEAST = 1024  # tokens: shorter sequences say little of the costs of long ones
KINDS = {  # what is compared: measure and metric
    "Training": ("training", "tokens_per_second"),
    "Prompts": ("prefill", "tokens_per_second"),
    "Decoding": ("decode", "tokens_per_second"),
    "State": ("memory", "state_bytes"),
}
SIDES = {SUPPORTED: "ahead", CONTRADICTED: "behind", MIXED: "level"}
RULE = (
    "Tokens/s of training, of reading prompts and of decoding, and bytes of the state, at the longest common length, "
    f"at least {LEAST}, and every batch that both ran there. No worse where the whole 95% interval of the ratio is no "
    f"more than {_evidence.MARGIN:.0%} on the worse side of 1, worse where all of it is further; bytes are counted and "
    "have no interval. Supported where it is no worse in every kind and at every batch, contradicted where worse in "
    f"every one, mixed otherwise; what is ahead or behind by more than {_evidence.MARGIN:.0%} is named, by medians. "
    f"Intervals are over repeats in one process. {_evidence.LAUNCH_RULE}"
)


def judge(result_set: Any, models: tuple[str, str]) -> Finding | None:
    """Whether the first model costs no more than the second, of all kinds that were measured."""
    found = {what: each for what in KINDS if (each := _of(result_set, what, models)) is not None}
    if not found:
        return None
    text = " ".join(f"{what}: {each.text}" for what, each in found.items())
    short = ", ".join(f"{what.lower()} {each.short}" for what, each in found.items())
    tables = [_tidy(each.table, *KINDS[what]) for what, each in found.items()]
    verdict = together(each.verdict for each in found.values())
    return Finding(verdict, f"{text} {_standing(found, models)}", pd.concat(tables, ignore_index=True), short)


def _of(result_set: Any, what: str, models: tuple[str, str]) -> Finding | None:
    measure, metric = KINDS[what]
    compare = functools.partial(_ratios.ratio, result_set, measure, metric, models, LEAST, margin=_evidence.MARGIN)
    if metric.endswith("bytes"):
        return compare(better="lower", counted=True, judge=_evidence.no_worse)
    return compare(batch="every", judge=_evidence.no_worse)


def _tidy(table: pd.DataFrame, measure: str, metric: str) -> pd.DataFrame:
    told = table.rename(columns={metric: "value"})
    told.insert(1, "measure", measure)
    told.insert(2, "metric", metric)
    return told


def _standing(found: dict[str, Finding], models: tuple[str, str]) -> str:
    """'RetNet is ahead in decoding at batch 1 and behind in state; within 10% in training.'"""
    sides: dict[str, list[tuple[str, str]]] = {"ahead": [], "behind": [], "level": []}
    for what, each in found.items():
        metric = KINDS[what][1]
        for place in range(0, len(each.table), 2):
            mine, other = (each.table.iloc[place + side] for side in (0, 1))
            ratio = mine[metric] / other[metric]
            better = "lower" if metric.endswith("bytes") else "higher"
            side = SIDES[_evidence.by_margin(ratio, ratio, _evidence.MARGIN, better)]
            sides[side].append((what, wording.number(mine["batch_size"])))
    name, level = wording.title(models[0], models[0]), f"within {_evidence.MARGIN:.0%}"
    apart = [f"{side} {_places(sides[side], found)}" for side in ("ahead", "behind") if sides[side]]
    if not apart:
        return f"{name} is {level} everywhere."
    return f"{name} is {' and '.join(apart)}{f'; {level} ' + _places(sides['level'], found) if sides['level'] else ''}."


def _places(side: list[tuple[str, str]], found: dict[str, Finding]) -> str:
    """Each kind, with its batches where it was measured at several and not all are meant."""
    told = []
    for what in dict.fromkeys(what for what, _ in side):
        batches = [batch for each, batch in side if each == what]
        whole = len(found[what].table) == 2 * len(batches)
        told.append(f"in {what.lower()}" if whole else f"in {what.lower()} at batch {wording.listed(batches)}")
    return wording.listed(told)
