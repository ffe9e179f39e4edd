"""What claims have in common: how two models are compared, and when an interval decides.

A model stands for itself by the entry with its bare name; where an experiment has only variants of it, by the best of
them. Speeds are medians over repeats with bootstrap intervals. Predictions are compared seed by seed, with the interval
of Student's t over seeds, and need at least three seeds.
"""

from typing import Any

import numpy as np
import pandas as pd

from reports import intervals, language, rows, wording
from reports.claims import CONTRADICTED, MIXED, SUPPORTED, UNTESTABLE, Finding, together

SEEDS = 3  # the fewest that a claim about prediction rests on
SPAN = 4  # the factor that a swept length or batch must cover for a claim about its effect
CELL = ["sequence_length", "batch_size", "dtype"]
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


def measured(result_set: Any, measure: str, metric: str) -> pd.DataFrame:
    """A line per sample of the rows that may be compared: point, label, model, form, cell, value."""
    points = rows.comparable(result_set, measure)
    samples = rows.samples_of(result_set, points, metric)[["point", "value"]]
    return samples.merge(points[["point", "label", "model", "form", *CELL]], on="point")


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


def ratio(
    result_set: Any, measure: str, metric: str, models: tuple[str, str], bound: float = 1.0, least: int = 0,
    batch: str = "largest", better: str = "higher", error: float | None = None,
) -> Finding | None:  # fmt: skip
    """Judges `first / second` against `bound` at the longest length that both ran, at least `least`, and there the
    largest (or smallest) batch. Where lower is better, supported means below the bound. Bytes are counted, not
    timed: they have a relative `error` in place of an interval."""
    told = measured(result_set, measure, metric)
    told = told[told["model"].isin(models)]
    both = told.groupby(CELL, dropna=False)["model"].nunique().reset_index()
    both = both[both["model"] == 2].sort_values(CELL)
    both = both[both["sequence_length"].fillna(0) >= least]
    if both.empty:
        return None
    longest = both[both["sequence_length"].fillna(0) == both["sequence_length"].fillna(0).max()]
    cell = longest.iloc[-1 if batch == "largest" else 0]
    here = rows.alike(told, cell[CELL])
    parts = [entry(here, model, better) for model in models]
    value, low, high = intervals.ratio(parts[0]["value"], parts[1]["value"])
    places = [f"{NOUNS[name]} {wording.number(cell[name])}" for name in NOUNS if pd.notna(cell[name])]
    names = " over ".join(wording.title(model, model) for model in models)
    where = f" at {', '.join(places)}" if places else ""
    text = f"{names}{where}: {metric.replace('_', ' ')} {wording.interval(value, low, high)} times"
    table = pd.DataFrame([_line(part, metric) for part in parts])
    if error is not None:
        low, high = value * (1 - error), value * (1 + error)
    verdict = by_interval(low, high, bound, better == "higher")
    return Finding(verdict, f"{text}.", table)


def _line(part: pd.DataFrame, metric: str) -> dict[str, Any]:
    low, high = intervals.bootstrap(part["value"])
    first = part.iloc[0]
    return {
        "series": first["label"], "form": first["form"], "batch_size": first["batch_size"],
        "sequence_length": first["sequence_length"], metric: part["value"].median(), "low": low, "high": high,
        "repeats": len(part), "point": " ".join(sorted(set(part["point"]))),
    }  # fmt: skip


def slopes(result_set: Any, measure: str, metric: str, model: str, x: str) -> pd.DataFrame:
    """How steep log `metric` is in log `x`: a line for each value of the other of length and batch over which x covers
    at least a factor of four."""
    other = "batch_size" if x == "sequence_length" else "sequence_length"
    told = measured(result_set, measure, metric)
    told = entry(told[told[x] > 0], model, "lower")
    lines = []
    for place, group in told.groupby([other, "dtype"], sort=True):
        medians = group.groupby(x)["value"].median()
        xs = np.asarray(medians.index, dtype=float)
        if len(xs) < 2 or xs.max() < SPAN * xs.min():
            continue
        lines.append(
            {"series": group["label"].iloc[0], other: place[0], "from": xs.min(), "to": xs.max()}
            | {f"{metric}_from": medians.iloc[0], f"{metric}_to": medians.iloc[-1]}
            | {"slope": intervals.slope(xs, medians), "point": " ".join(sorted(set(group["point"])))}
        )
    return pd.DataFrame(lines)


def slope_words(table: pd.DataFrame, x: str) -> str:
    """The slopes in words."""
    other = "batch_size" if x == "sequence_length" else "sequence_length"
    name, at = NOUNS[x], NOUNS[other]
    said = []
    for line in table.to_dict("records"):
        over = f"{name} {wording.number(line['from'])} to {wording.number(line['to'])}"
        steep = round(line["slope"], 3) + 0.0  # no negative zero
        said.append(f"slope {steep:.3f} over {over} at {at} {wording.number(line[other])}")
    return "; ".join(said)


def prediction(
    result_set: Any, models: tuple[str, str], bound: float = 0.0, labels: tuple[str, str] | None = None
) -> Finding | None:
    """Judges whether the first predicts better than the second: bits per byte of the first over the second, less 1, is
    below `bound`. `labels` names entries where the models alone do not."""
    told = language.headline(result_set).rename(columns={"bits_per_byte": "value"})
    if told.empty:
        return None
    pair = labels or tuple(_trained(told, model) for model in models)
    both = told.pivot_table(index="seed", columns="label", values="value")
    if not set(pair) <= set(both.columns):
        return None
    both = both[list(pair)].dropna()
    table = told[told["label"].isin(pair) & told["seed"].isin(both.index)]
    table = table[["label", "seed", "value", "point"]].rename(columns={"label": "series", "value": "bits_per_byte"})
    change, low, high = intervals.mean_of_few(both[pair[0]] / both[pair[1]] - 1)
    name = " against ".join(_pretty(label, told) for label in pair)
    text = f"{name}: {both[pair[0]].mean():.4f} against {both[pair[1]].mean():.4f} bits per byte, {change:+.2%}"
    if len(both) < SEEDS:
        return Finding(UNTESTABLE, f"{text}, from {len(both)} of the {SEEDS} seeds that are needed.", table)
    text += f" (95% interval {low:+.2%} to {high:+.2%}, {len(both)} seeds)."
    return Finding(by_interval(low, high, bound, above=False), text, table)


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


ALL_BETTER = (
    f"Bits per byte, seed by seed, at least {SEEDS} seeds: supported where the whole 95% interval of the change is "
    "below zero in every comparison, contradicted where above in every one, mixed otherwise."
)


def all_better(result_set: Any, model: str, pairs: list[tuple[str, str]]) -> Finding | None:
    """One finding from several comparisons (better, worse) of entries of one model."""
    found = [prediction(result_set, (model, model), labels=pair) for pair in pairs]
    kept = [finding for finding in found if finding is not None]
    if not kept:
        return None
    table = pd.concat([finding.table for finding in kept]).drop_duplicates(ignore_index=True)
    return Finding(together(one.verdict for one in kept), " ".join(one.text for one in kept), table)
