"""Which times are of kernel launches instead of an architecture's work, and what pages say of them."""

from typing import Any

import pandas as pd

from reports import wording

HIDDEN_MS = {"token_ms": 2.0, "prefill_ms": 3.0, "step_ms": 10.0}  # of a layer: at most 0.8, 2 and thrice that waited
UNGRAPHED = "timed on CUDA without a captured graph"
CAUTION = f"{UNGRAPHED}: such times are of kernel launches and rank no architectures."


def of_launches(result_set: Any, points: pd.DataFrame) -> pd.Series:
    """Which rows of points.csv measure what `CAUTION` says; `graph` is empty where nothing was timed on CUDA.

    Not those of work so long that a device cannot have waited for the host, see `HIDDEN_MS`.
    """
    ungraphed = points["graph"].astype(object).fillna("").astype(str).str.lower() == "false"
    samples = result_set.samples
    timed = samples[samples["metric"].isin(HIDDEN_MS) & samples["point"].isin(points.loc[ungraphed, "point"])]
    shares = timed["value"].astype(float) / timed["metric"].map(HIDDEN_MS).astype(float)
    whole = points["point"].map(shares.groupby(timed["point"]).median()).astype(float)
    each_layer = whole / points["layers"].astype(float)
    return ungraphed & ~(each_layer > 1)


def told(result_set: Any, points: pd.DataFrame) -> str:
    """What `CAUTION` says of these rows, by label where other labels' work was replayed; empty where of none."""
    sentences = []
    for measure, timed in points[points["graph"].notna()].groupby("measure", sort=True):
        labels = sorted(timed.loc[of_launches(result_set, timed), "label"].unique())
        if labels:
            of = "" if len(labels) == timed["label"].nunique() else f" of {wording.listed(labels)}"
            sentences.append(f"{str(measure).replace('_', ' ').capitalize()}{of} was {CAUTION}")
    return " ".join(sentences)
