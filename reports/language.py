"""Trained models: which learning rate was chosen, and which rows are results.

For every label the rate with the lowest mean `tuning_bits_per_byte` among the trials of the first seed is chosen; the
rows trained with that rate, the trial itself among them, are the results. All are of one budget (reports/budget.py).
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from reports import budget, intervals, passes, rows, wording


@rows.once
def trials(result_set: Any) -> pd.DataFrame | None:
    """A line per label and learning rate tried: mean tuning bits per byte, and whether it was chosen."""
    points = budget.one(result_set).points
    points = points[points["role"] == "trial"]
    samples = rows.samples_of(result_set, points, "tuning_bits_per_byte")
    lines = []
    for (label, model, rate), group in points.groupby(["label", "model", "learning_rate"], sort=True):
        group = group[group["seed"] == points.loc[points["label"] == label, "seed"].iloc[-1]]
        if group.empty:
            continue
        values = samples.loc[samples["point"].isin(group["point"]), "value"].to_numpy(float)
        lines.append(
            {"label": label, "series": label, "model": model, "learning_rate": rate}
            | {"tuning_bits_per_byte": float(values.mean()) if len(values) else float("nan")}
            | {"status": "ok" if len(values) else rows.worst(group["status"]), "chosen": False, "at_edge": False}
            | {"reason": "; ".join(sorted(set(group["reason"].dropna()))), "point": " ".join(group["point"])}
        )
    return _choose(pd.DataFrame(lines)) if lines else None


def _choose(table: pd.DataFrame) -> pd.DataFrame:
    for _, group in table.groupby("label"):
        finite = group[np.isfinite(group["tuning_bits_per_byte"])]
        if finite.empty:
            continue
        best = finite["tuning_bits_per_byte"].idxmin()
        table.loc[best, "chosen"] = True
        ends = (group["learning_rate"].min(), group["learning_rate"].max())
        table.loc[best, "at_edge"] = len(group) > 1 and table.loc[best, "learning_rate"] in ends
    return table


def at_edge(result_set: Any, labels: Iterable[str]) -> list[str]:
    """Those of the labels whose chosen rate is the lowest or highest that was tried, as they are called in texts."""
    tried = trials(result_set)
    if tried is None:
        return []
    edge = tried[tried["at_edge"] & tried["label"].isin(set(labels))]
    return [wording.title(label, model) for label, model in zip(edge["label"], edge["model"], strict=True)]


def edges(result_set: Any) -> str:
    """Whose chosen rate is the lowest or highest that was tried, in a sentence; empty where nobody's is."""
    tried = trials(result_set)
    if tried is None:
        return ""
    names = at_edge(result_set, tried["label"])
    every = "all models" if len(names) == tried["label"].nunique() > 1 else wording.listed(names)
    whose = "its quality" if len(names) == 1 else "their quality"
    told = f"The best learning rate tried was the lowest or highest for {every}: {whose} may be better than shown."
    return told if names else ""


def rates(result_set: Any) -> dict[str, float]:
    """The chosen learning rate of every label that has one."""
    tried = trials(result_set)
    if tried is None:
        return {}
    return {line["label"]: line["learning_rate"] for line in tried[tried["chosen"]].to_dict("records")}


@rows.once
def results(result_set: Any) -> pd.DataFrame:
    """The rows of points.csv that are results, one per label and seed, of one shape and dtype."""
    points = budget.one(result_set).points
    rate = points["label"].map(rates(result_set))
    close = np.isclose(points["learning_rate"].astype(float), rate.astype(float), rtol=1e-9)
    untuned = rate.isna() & (points["role"] != "trial")
    kept = points[close | untuned]
    return kept.drop_duplicates(["label", "seed"], keep="last")


@rows.once
def values(result_set: Any, metric: str = "bits_per_byte") -> pd.DataFrame:
    """One line per label, seed, evaluation length and bucket of every result: label, model, seed, point, value."""
    points = results(result_set)
    points = points.assign(training_steps=passes.steps(points))
    told = [
        "point",
        "label",
        "model",
        "seed",
        "training_sequence_length",
        "training_tokens",
        "training_steps",
        "corpus",
    ]
    samples = rows.samples_of(result_set, points, metric)[["point", "length", "bucket", "value"]]
    return samples.merge(points[told], on="point", validate="many_to_one").sort_values(
        ["label", "seed", "length", "bucket"], kind="stable", ignore_index=True
    )


@rows.once
def headline(result_set: Any) -> pd.DataFrame:
    """One line per label and seed: `bits_per_byte` over whole sequences of the training length, and `order0_entropy`
    where it was measured."""
    told = values(result_set)
    told = told[told["bucket"].isna()].copy()
    told["far"] = (told["length"].fillna(told["training_sequence_length"]) - told["training_sequence_length"]).abs()
    told = told.sort_values(["label", "seed", "far"], kind="stable").drop_duplicates(["label", "seed"])
    order0 = values(result_set, "order0_entropy").groupby("point")["value"].first()
    told = told.rename(columns={"value": "bits_per_byte"}).drop(columns=["far", "bucket"])
    return told.assign(order0_entropy=told["point"].map(order0)).reset_index(drop=True)


def at_lengths(result_set: Any) -> pd.DataFrame:
    """The `values` of whole sequences of a length that is named: at the training length and others."""
    told = values(result_set)
    return told[told["bucket"].isna() & told["length"].notna()]


def best_first(told: pd.DataFrame, by: list[str] | None = None) -> pd.DataFrame:
    """`by_label` of bits per byte, the lowest first, with the seeds' own in `each_seed`."""
    table = by_label(told, "bits_per_byte", by).sort_values("bits_per_byte", ignore_index=True)
    each = told.groupby("label")["bits_per_byte"].agg(lambda part: " ".join(f"{value:.6g}" for value in part))
    return table.assign(each_seed=table["series"].map(each))


def by_label(told: pd.DataFrame, value: str, by: list[str] | None = None) -> pd.DataFrame:
    """Means over seeds with their 95% intervals by Student's t: a line per label and whatever else is named. For a
    handful of seeds a bootstrap's are too narrow: of three it gives the range, which holds the mean 3 times in 4."""
    lines = []
    keys = ["label", "model", *(by or [])]
    for key, group in told.groupby(keys, sort=True, dropna=False):
        numbers = group[value].to_numpy(float)
        mean, low, high = intervals.mean_of_few(numbers)
        lines.append(
            dict(zip(keys, key, strict=True))
            | {"series": key[0], value: mean, "low": low, "high": high, "seeds": len(numbers)}
            | {"status": "ok", "reason": "", "point": " ".join(group["point"])}
        )
    if not lines:
        return pd.DataFrame(columns=[*keys, "series", value, "low", "high", "seeds", "status", "reason", "point"])
    table = pd.DataFrame(lines).drop(columns="label")
    return table[["series", *(name for name in table if name != "series")]]
