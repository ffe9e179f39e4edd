"""Times below their floor: none can be, so the rates that were measured of their machine are too low."""

from typing import Any

import pandas as pd

from reports import rows, wording

MOST = {"decode": 1.1, "largest_batch": 1.1}  # they only read, which passes a copy's bandwidth by some per cent
SHORT = 6  # letters of an environment
REMEDY = "Run these points again with --fresh on a machine at rest: that measures its peaks anew."


def caution(result_set: Any, *measures: str) -> str:
    """How many rows of these measures, or of all, are below their floor, how far, and what to do; empty where none."""
    parts, points = [], []
    samples = result_set.samples
    rated = samples.loc[samples["metric"].isin([metric for metric, _ in rows.FLOOR]), "measure"]
    for measure in measures or sorted(set(rated)):
        whole = rows.floor(result_set, measure)
        if whole is None:
            continue
        below = whole[whole[rows.SHARE] > MOST.get(measure, 1.0)]
        if len(below):
            parts.append(_of_measure(measure, below, int(whole[rows.SHARE].notna().sum())))
            points.append(rows.behind(result_set.points, below))
    if not parts:
        return ""
    names = sorted(set(pd.concat(points)["environment"].str[:SHORT]))
    return (
        f"Times below their floor, which none can be: {'; '.join(parts)}. So the peaks of "
        f"environment{'s' if len(names) > 1 else ''} {wording.listed(names)} are too low, as where something else "
        f"computed while they were measured, and all shares of the floor that they give are too large. {REMEDY}"
    )


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
