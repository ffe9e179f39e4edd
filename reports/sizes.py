"""Rows of other sizes than those that were run last: one folder may hold several, and one is compared."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from reports import machines, plurals, rows, wording

WORDS: dict[str, Callable[[Any], str]] = {
    "width": lambda value: f"width {wording.number(value)}",
    "layers": lambda value: plurals.counted(value, "layer"),
    "heads": lambda value: plurals.counted(value, "head"),
    "parameters_target": lambda value: f"{wording.short(value)} parameters" if pd.notna(value) else "no budget",
}
APART = "An experiment file of another name, or another folder with --out, keeps sizes apart."


def left_out(result_set: Any) -> str:
    """How many rows of which other sizes are not compared, and what to do about it; empty where all are."""
    points = rows.current(result_set.points)
    kept = rows.of_last_size(result_set)
    left = points.drop(index=kept.index)
    left = left[~left["measure"].isin(machines.COMPARING_NO_MODELS)]
    if left.empty:
        return ""
    last = kept.iloc[-1]
    heads = left["label"].map(kept.groupby("label")["heads"].last())  # an entry's own
    differ = {name: ~left.index.isin(rows.alike(left, last[[name]]).index) for name in rows.SIZE}
    differ["heads"] = ((left["heads"] != heads) & heads.notna()).to_numpy(bool)
    groups: dict[tuple[str, ...], int] = {}
    for place, line in enumerate(left[rows.SHAPE].to_dict("records")):
        said = tuple(WORDS[name](line[name]) for name in rows.SHAPE if differ[name][place])
        groups[said] = groups.get(said, 0) + 1
    parts = [f"{plurals.counted(count, 'row')} of {wording.listed([*said])}" for said, count in groups.items()]
    size = [WORDS[name](last[name]) for name in rows.SIZE if differ[name].any()]
    whose = f"of {wording.listed(size)}" if size else "with the heads of the last run"
    return (
        f"The triangle, the claims and comparisons of predictions take the rows {whose} alone, which were run last. "
        f"Left out of them: {wording.listed(parts)}; times and memory are drawn for all. {APART}"
    )
