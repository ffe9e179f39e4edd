"""What claims have in common: how two models are compared, and when an interval decides.

A model stands for itself by the entry with its bare name; where an experiment has only variants of it, by the best of
them. Speeds are medians over repeats with bootstrap intervals over repeats in one process; how far two processes differ
they do not say, so models are told apart by more than a margin. Predictions are compared seed by seed, with the
interval of Student's t over seeds, and need at least three seeds.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from reports import budget, intervals, language, launches, passes, rows, wording
from reports.claims import CONTRADICTED, MIXED, SUPPORTED, UNTESTABLE, Finding, together
from reports.rows import CELL

SEEDS = 3  # the fewest that a claim about prediction rests on
MARGIN = 0.1  # ratios of two speeds, measured twice on one machine, have moved by 6%
SPEED = "tokens_per_second"
RECOMPUTE = "option.recompute"
IN_ONE = "interval over repeats in one process"
LAUNCH_RULE = (
    f"What was {launches.UNGRAPHED} decides nothing, unless it wins against a model that had one and is claimed to be "
    "better."
)
SPEED_RULE = (
    f"Supported where the whole 95% interval of the ratio is more than {MARGIN:.0%} on the claimed side of 1, "
    "contradicted where all of it is as much on the other side, mixed otherwise. The interval is over repeats in one "
    f"process; a difference smaller than the margin can be one between processes. {LAUNCH_RULE}"
)
NOUNS = {"sequence_length": "length", "batch_size": "batch"}


def by_interval(low: float, high: float, bound: float, above: bool = True) -> str:
    """Supported where the whole interval is on the claimed side of `bound`, contradicted where all of it is on the
    other, mixed where it holds the bound or there is no interval."""
    if np.isnan(low) or np.isnan(high):
        return MIXED
    if low > bound:
        return SUPPORTED if above else CONTRADICTED
    if high < bound:
        return CONTRADICTED if above else SUPPORTED
    return MIXED


def by_margin(low: float, high: float, margin: float, better: str = "higher") -> str:
    """The verdict on a ratio that is claimed to be better than 1: mixed where it is nearer than `margin`, or where
    there is no interval."""
    above, below = low > 1 + margin, high < 1 - margin
    if not (above or below):
        return MIXED
    return SUPPORTED if above == (better == "higher") else CONTRADICTED


def no_worse(low: float, high: float, margin: float, better: str = "higher") -> str:
    """The verdict on a ratio that is claimed to be as good as 1: mixed where the interval holds the bound, which is
    `margin` on the worse side, or where there is no interval."""
    return by_interval(low, high, 1 - margin) if better == "higher" else by_interval(low, high, 1 + margin, above=False)


def measured(result_set: Any, measure: str, metric: str) -> pd.DataFrame:
    """A line per sample of the rows that may be compared: point, label, model, form, cell, launches, value."""
    points = rows.comparable(result_set, measure)
    points = points.assign(launches=launches.of_launches(result_set, points))
    samples = rows.samples_of(result_set, points, metric)[["point", "value"]]
    return samples.merge(points[["point", "label", "model", "form", *CELL, "launches"]], on="point")


def recomputed(told: pd.DataFrame) -> pd.Series:
    """'true' where training goes through blocks again, 'false' where it does not."""
    option = told[RECOMPUTE] if RECOMPUTE in told else pd.Series(None, index=told.index, dtype=object)
    return option.astype(object).fillna("false").astype(str).str.lower()


def entry(told: pd.DataFrame, model: str, better: str = "higher") -> pd.DataFrame:
    """The lines that stand for a model: those of its bare name, else of its best variant; of its best form."""
    mine = told[told["model"] == model]
    plain = mine[mine["label"] == model]
    mine = (plain if len(plain) else mine).assign(form=lambda part: part["form"].fillna(""))
    if mine.empty:
        return mine
    medians = mine.groupby(["label", "form"])["value"].median()
    label, form = medians.sort_values(kind="stable").index[-1 if better == "higher" else 0]
    return mine[(mine["label"] == label) & (mine["form"] == form)]


def unless_launches(
    told: pd.DataFrame, judge: Callable[[pd.DataFrame], Finding | None], favoured: str = ""
) -> Finding | None:
    """What `judge` finds in the rows that measure the architecture; where those do not suffice but the ones that
    measure launches would, its numbers without a verdict and the reason. Launches only slow what is launched: the model
    that is claimed to be better, `favoured`, has lost where it was replayed and the other wins in spite of them."""
    found = judge(told[~told["launches"]])
    if found is not None or not told["launches"].any():
        return found
    found = judge(told)
    if found is None:
        return None
    used = rows.behind(told, found.table)
    slow = used[used["launches"]].drop_duplicates("label")
    names = [wording.title(label, model) for label, model in zip(slow["label"], slow["model"], strict=True)]
    who = "It" if used["launches"].all() else wording.listed(sorted(names))
    if favoured and found.verdict == CONTRADICTED and favoured not in set(slow["model"]):
        return dataclasses.replace(found, text=f"{found.text} {who} was {launches.UNGRAPHED}, which can only slow it.")
    return dataclasses.replace(found, verdict=UNTESTABLE, text=f"{found.text} {who} was {launches.CAUTION}")


def line(part: pd.DataFrame, metric: str) -> dict[str, Any]:
    """The line of a finding's table for the samples of one entry."""
    low, high = intervals.bootstrap(part["value"])
    first = part.iloc[0]
    return {
        "series": first["label"], "form": first["form"], "batch_size": first["batch_size"],
        "sequence_length": first["sequence_length"], metric: part["value"].median(), "low": low, "high": high,
        "repeats": len(part), "point": " ".join(sorted(set(part["point"]))),
    }  # fmt: skip


def prediction(result_set: Any, models: tuple[str, str], bound: float = 0.0) -> Finding | None:
    """Judges whether the first predicts better than the second: bits per byte of the first over the second, less 1, is
    below `bound`."""
    found = _compared(result_set, models, bound)
    return found and cautioned(result_set, found)


def _compared(
    result_set: Any, models: tuple[str, str], bound: float = 0.0, labels: tuple[str, str] | None = None
) -> Finding | None:
    """The same without what must be known of the rows; `labels` names entries where the models alone do not."""
    told = language.headline(result_set).rename(columns={"bits_per_byte": "value"})
    if told.empty:
        return None
    pair = labels or tuple(_trained(told, model) for model in models)
    both = told.pivot_table(index="seed", columns="label", values="value")
    if not set(pair) <= set(both.columns):
        return None
    both = both[list(pair)].dropna()
    if both.empty:
        return None
    table = told[told["label"].isin(pair) & told["seed"].isin(both.index)]
    table = table[["label", "seed", "value", "training_steps", "point"]]
    table = table.rename(columns={"label": "series", "value": "bits_per_byte"})
    name = " against ".join(_pretty(label, told) for label in pair)
    text = f"{name}: {both[pair[0]].mean():.4f} against {both[pair[1]].mean():.4f} bits per byte,"
    found = over_seeds(text, both[pair[0]] / both[pair[1]] - 1, bound, table)
    means = " against ".join(f"{both[label].mean():.4g}" for label in pair)
    return dataclasses.replace(found, short=f"{found.short}, {means}")


def cautioned(result_set: Any, found: Finding) -> Finding:
    """A finding about prediction with what must be known of the rows behind it: which are left out of it, and whose
    learning rate may not be the best."""
    told = [found.text, budget.one(result_set).caution, at_edge(result_set, found.table["series"])]
    return dataclasses.replace(found, text=" ".join(filter(None, told)))


def at_edge(result_set: Any, labels: Iterable[str]) -> str:
    """Which of these were best at the lowest or highest learning rate tried; empty where none was."""
    names = language.at_edge(result_set, labels)
    told = "Best at the edge of the learning rates tried, so that one beyond might do better: "
    return f"{told}{wording.listed(names)}." if names else ""


def over_seeds(text: str, changes: pd.Series, bound: float, table: pd.DataFrame) -> Finding:
    """Judges whether changes, one a seed that has both values, are below `bound`; `text` says of what to what.

    The short form says after how many steps of training, where the table does: rankings change with it.
    """
    change, low, high = intervals.mean_of_few(changes)
    steps = passes.counted(table["training_steps"]) if "training_steps" in table else ""
    short = f"{change:+.2%} bits per byte{f' after {steps}' if steps else ''}"
    text = f"{text} {change:+.2%}"
    if len(changes) < SEEDS:
        needed = f"{text}, from {len(changes)} of the {SEEDS} seeds that are needed."
        return Finding(UNTESTABLE, needed, table, short)
    text += f" (95% interval {low:+.2%} to {high:+.2%}, {len(changes)} seeds by Student's t)."
    return Finding(by_interval(low, high, bound, above=False), text, table, short)


def _pretty(label: str, told: pd.DataFrame) -> str:
    return wording.title(label, told.loc[told["label"] == label, "model"].iloc[0])


def _trained(told: pd.DataFrame, model: str) -> str:
    mine = told[told["model"] == model].groupby("label")["value"].mean()
    return model if model in mine or mine.empty else str(mine.idxmin())


def option_pairs(result_set: Any, option: str, changed: str, usual: str) -> list[tuple[str, str]]:
    """(label, label) of trained entries that differ in one option alone: changed, usual."""
    points = language.results(result_set)
    name = f"option.{option}"
    if name not in points:
        return []
    options = sorted(str(column) for column in points if str(column).startswith("option."))
    told = points.drop_duplicates("label").set_index("label")[options].fillna("").astype(str)
    value = told[name].str.lower()
    rest = told.drop(columns=name)
    return [
        (left, right)
        for left in told.index[value == changed.lower()]
        for right in told.index[value == usual.lower()]
        if rest.loc[left].equals(rest.loc[right])
    ]


ONE_BETTER = (
    f"Bits per byte under one budget, seed by seed, at least {SEEDS} seeds: supported where the whole 95% interval of "
    "the change is below zero, contradicted where above, mixed where it holds zero."
)
ALL_BETTER = (
    f"Bits per byte, seed by seed, at least {SEEDS} seeds: supported where the whole 95% interval of the change is "
    "below zero in every comparison, contradicted where above in every one, mixed otherwise."
)


def all_better(result_set: Any, model: str, pairs: list[tuple[str, str]]) -> Finding | None:
    """One finding from several comparisons (better, worse) of entries of one model."""
    found = [_compared(result_set, (model, model), labels=pair) for pair in pairs]
    kept = [finding for finding in found if finding is not None]
    if not kept:
        return None
    table = pd.concat([finding.table for finding in kept]).drop_duplicates(ignore_index=True)
    verdict, text = together(one.verdict for one in kept), " ".join(one.text for one in kept)
    means = table.groupby("series")["bits_per_byte"].mean().sort_values()
    own = [f"{str(series).removeprefix(f'{model} ')} {mean:.4g}" for series, mean in means.items()]
    return cautioned(result_set, Finding(verdict, text, table, f"{', '.join(own)} bits per byte"))
