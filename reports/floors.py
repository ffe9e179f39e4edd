"""What shares of the floor rest on, and times below their floor: none can be, so a rate or a count is wrong."""

from typing import Any

import pandas as pd

from reports import peaks, rows, wording

MOST = {"decode": 1.1, "largest_batch": 1.1}  # they only read, which passes a copy's bandwidth by some per cent
REMEDY = (
    "Run these points again with --fresh on a machine at rest, which measures its peaks anew: what is still below its "
    "floor is counted too high."
)


def caution(result_set: Any, *measures: str) -> str:
    """How many rows of these measures, or of all, are below their floor, how far, and what to do; empty where none."""
    parts, points = [], []
    for measure in measures or _rated(result_set):
        whole = rows.floor(result_set, measure)
        if whole is None:
            continue
        below = whole[whole[rows.SHARE] > MOST.get(measure, 1.0)]
        if len(below):
            parts.append(_of_measure(measure, below, int(whole[rows.SHARE].notna().sum())))
            points.append(_finished(result_set, below))
    if not parts:
        return ""
    told = rows.environments(result_set).set_index("environment")["device_name"]
    names = sorted(set(told[pd.concat(points)["environment"]].fillna(str(result_set.device))))
    return (
        f"Times below their floor, which none can be: {'; '.join(parts)}. Either the best peaks of "
        f"{wording.listed(names)} were measured too low, as where something else computed meanwhile, and all shares of "
        "the floor that they give are too large; or what these points need is counted too high. "
        f"{REMEDY}"
    )


def environments(result_set: Any) -> set[str]:
    """Those of which some time has a share of the floor, and those whose peaks such shares rest on."""
    tables = [rows.floor(result_set, measure) for measure in _rated(result_set)]
    shares = [_finished(result_set, table[table[rows.SHARE].notna()]) for table in tables if table is not None]
    if not shares:
        return set()
    used = pd.concat(shares)[["environment", "dtype"]]
    rested = [peaks.holders(rows.environments(result_set), used, peak) for _, peak in rows.FLOOR]
    return set(used["environment"]).union(*rested)


def _finished(result_set: Any, table: pd.DataFrame) -> pd.DataFrame:
    """The rows of points.csv that gave the lines of a table their values; a failed seed stands behind a line too."""
    points = rows.behind(result_set.points, table)
    return points[points["status"] == "ok"]


def _rated(result_set: Any) -> list[str]:
    """The measures that have rates to hold against a peak."""
    samples = result_set.samples
    return sorted(set(samples.loc[samples["metric"].isin([metric for metric, _ in rows.FLOOR]), "measure"]))


def _of_measure(measure: str, below: pd.DataFrame, count: int) -> str:
    """'3 of 4 in training, with a share of up to 1.54 (RetNet at batch 3, length 256)'."""
    worst = below.sort_values(rows.SHARE).iloc[-1]
    told = [("batch", worst.get("batch_size")), ("length", worst.get("sequence_length"))]
    sizes = [f"{noun} {wording.number(value)}" for noun, value in told if pd.notna(value)]
    at = f" at {', '.join(sizes)}" if sizes else ""
    return (
        f"{len(below)} of {count} in {measure.replace('_', ' ')}, with a share of up to {worst[rows.SHARE]:.2f} "
        f"({wording.title(worst['series'], worst['model'])}{at})"
    )
