"""One budget: of the trained rows only those are compared that were trained like the last one that finished.

The same text (by its hash), batch and length, the same settings of the optimiser, and as much training: tokens equal
to within `CLOSE`. A budget in FLOPs or seconds gives models unequal tokens on purpose, so there the FLOPs, or the
seconds of the curve, are what has to agree, to within `CLOSE` or the one step by which such a budget may be missed.
What failed has spent less than its budget and stays, so that it is told.

Older rows do not say how the optimiser was set. Nothing tells then that they differ, and nothing that they do not: they
stay, and where other rows do say it, a sentence names them.
"""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from reports import plurals, rows, wording

CLOSE = 0.02
TRAINED = {  # columns that older files lack
    "schedule": "another schedule",
    "final_rate": "another final rate",
    "warmup": "another warm-up",
    "betas": "other betas",
    "weight_decay": "another weight decay",
    "clip": "another clip",
    "accumulate": "other accumulation",
    "autocast": "another autocast",
}
SAME = {
    "corpus_sha256": "other text",
    "training_batch_size": "another batch",
    "training_sequence_length": "another length",
    **TRAINED,
}
KINDS = {"tokens": "training tokens", "flops": "training FLOPs", "seconds": "training seconds"}


@dataclasses.dataclass(frozen=True)
class Budget:
    """`points` may be compared; `left_out` says in a sentence what may not, and is empty where all may.

    `unknown` says in another one which of them do not tell all of how they were trained, where others do.
    """

    points: pd.DataFrame
    kind: str  # tokens, flops or seconds
    dropped: int = 0
    left_out: str = ""
    unknown: str = ""

    @property
    def caution(self) -> str:
        """Both sentences."""
        return f"{self.left_out} {self.unknown}".strip()


@rows.once
def one(result_set: Any) -> Budget:
    """The rows of `language` under one budget and of one number format, those of the last finished row."""
    points, kind = rows.comparable(result_set, "language"), _kind(result_set.settings)
    if points.empty:
        return Budget(points, kind)
    finished = points["status"] == "ok"
    last = (points[finished] if finished.any() else points).iloc[-1]
    other = {said: _other(name, points[name], last.name, finished) for name, said in SAME.items()}
    other[f"other {KINDS[kind]}"] = finished & ~_near(_spent(result_set, points, kind), points, last.name, kind)
    other["another number format"] = points["dtype"] != last["dtype"]
    dropped = np.logical_or.reduce(list(other.values()))
    unknown = _unknown(points[finished & ~dropped])
    if not dropped.any():
        return Budget(points, kind, unknown=unknown)
    why = wording.listed([f"{mask.sum()} with {said}" for said, mask in other.items() if mask.any()])
    text = f"Left out of every comparison of predictions, as not trained like the last ({_told(last)}): {why}."
    return Budget(points[~dropped], kind, int(dropped.sum()), text, unknown)


def _kind(settings: Any) -> str:
    training = (settings or {}).get("training") or {}
    return next((kind for kind in ("flops", "seconds") if training.get(kind) is not None), "tokens")


def _other(name: str, column: pd.Series, last: Any, finished: pd.Series) -> pd.Series:
    """Which rows differ from the last one; a missing value equals a missing one, and says nothing where the row failed.

    In a column of `TRAINED` it never says anything, so that the last row with a value stands for the last one.
    """
    wanted = column[last]
    if name in TRAINED:
        known = column[finished].dropna() if finished.any() else column.dropna()
        return ~column.isin([*known.iloc[-1:]]) & column.notna() & bool(len(known))
    same = column.isna() if pd.isna(wanted) else (column == wanted).fillna(False).astype(bool)
    return ~same & (finished | column.notna())


def _unknown(points: pd.DataFrame) -> str:
    """Which rows lack a setting that others have, and that nothing tells whether it was the same for them."""
    some = {name: points[name].isna() for name in TRAINED if points[name].isna().any() and points[name].notna().any()}
    if not some:
        return ""
    which = points[np.logical_or.reduce(list(some.values()))]
    rest = wording.listed([TRAINED[name].partition(" ")[2] for name in some])
    labels = which.drop_duplicates("label").sort_values("label")
    names = [wording.title(label, model) for label, model in zip(labels["label"], labels["model"], strict=True)]
    older = f"{plurals.counted(len(which), 'row')} ({wording.listed(names)})"
    return f"Compared though older than the record of {rest}, which may not have been the same: {older}."


def _spent(result_set: Any, points: pd.DataFrame, kind: str) -> pd.Series:
    if kind == "seconds":
        return points["point"].map(result_set.curves.groupby("point")["seconds"].max()).astype(float)
    return points[f"training_{kind}"].astype(float)


def _near(spent: pd.Series, points: pd.DataFrame, last: Any, kind: str) -> pd.Series:
    wanted = spent[last]
    if np.isnan(wanted):
        return pd.Series(True, points.index)
    slack = pd.Series(CLOSE * wanted, points.index)
    if kind != "tokens":
        tokens = (points["training_batch_size"] * points["training_sequence_length"]).astype(float)
        step = spent * tokens / points["training_tokens"].astype(float)
        slack = slack.where(slack > step.fillna(0), step)
    return (spent - wanted).abs() <= slack


def _told(last: pd.Series) -> str:
    told = [] if pd.isna(last["corpus"]) else [wording.corpus(last["corpus"])]
    for name, noun in (("training_batch_size", "batch"), ("training_sequence_length", "length")):
        told += [] if pd.isna(last[name]) else [f"{noun} {wording.number(last[name])}"]
    tokens = [] if pd.isna(last["training_tokens"]) else [f"{wording.number(last['training_tokens'])} training tokens"]
    return ", ".join([*told, *tokens, str(last["dtype"])])
