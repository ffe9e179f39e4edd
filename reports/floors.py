"""What shares of the floor rest on, and times below their floor: none can be, so a rate or a count is wrong."""

from typing import Any

import pandas as pd

from reports import rows, wording

MOST = {"decode": 1.1, "largest_batch": 1.1}  # they only read, which passes a copy's bandwidth by some per cent
SHORT = 6  # letters of an environment
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
    names = sorted(set(pd.concat(points)["environment"].str[:SHORT]))
    return (
        f"Times below their floor, which none can be: {'; '.join(parts)}. Either the peaks of "
        f"environment{'s' if len(names) > 1 else ''} {wording.listed(names)} were measured too low, as where something "
        "else computed meanwhile, and all shares of the floor that they give are too large; or what these points need "
        f"is counted too high. {REMEDY}"
    )


def environments(result_set: Any) -> set[str]:
    """Those on whose peaks some share of the floor rests."""
    tables = [rows.floor(result_set, measure) for measure in _rated(result_set)]
    shares = [table[table[rows.SHARE].notna()] for table in tables if table is not None]
    return {where for share in shares for where in _finished(result_set, share)["environment"]}


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
