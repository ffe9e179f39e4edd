"""How steep a measured value is in the length or the batch: the slope of its logarithm against theirs.

0 is flat, 1 is proportional. Times have a bootstrap interval over repeats in one process; bytes are counted and have
none. A slope is one number for the whole range and can hide its shape, so the largest median over the smallest, and the
largest fall from a shorter length (or a smaller batch) to a longer one, stand beside it.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from reports import intervals, wording
from reports.claims import CONTRADICTED, MIXED, SUPPORTED, Finding, _evidence, together

SPAN = 4  # the factor that a swept length or batch must cover for a claim about its effect
OVER = "intervals over repeats in one process"


def judge(
    result_set: Any, measure: str, metric: str, model: str, x: str, verdict: Callable[[dict], str],
    better: str = "lower", equal_tokens: bool = False, bounds: str = "",
) -> Finding | None:  # fmt: skip
    """One verdict from those of all slopes of a model over `x`; `bounds` says in a sentence what they are held to."""

    def found(told: pd.DataFrame) -> Finding | None:
        table = slopes(told, metric, model, x, better, equal_tokens)
        if table.empty:
            return None
        text = f"{wording.title(model, model)}, {metric.replace('_', ' ')}: {words(table, x)}."
        text += f" {bounds}" if bounds else ""
        verdicts = [verdict(line) for line in table.to_dict("records")]
        return Finding(together(verdicts), text, table, _short(table, x))

    return _evidence.unless_launches(_evidence.measured(result_set, measure, metric), found)


def flat_latency(result_set: Any, x: str, steep: float, swing: float) -> Finding | None:
    """Whether RetNet's time of a decode step is flat over `x`."""
    bounds = f"Flat is a slope within ±{steep} and {swing} times in all."
    verdict = functools.partial(flat, steep=steep, swing=swing)
    return judge(result_set, "decode", "token_ms", "retnet", x, verdict, bounds=bounds)


def slopes(
    told: pd.DataFrame, metric: str, model: str, x: str, better: str = "lower", equal_tokens: bool = False
) -> pd.DataFrame:
    """A line for each value of the other of length and batch over which x covers at least a factor of `SPAN`. With
    `equal_tokens` one across those, where more x have the same product of both than have the same other."""
    other = _other(x)
    told = _evidence.entry(told[told[x] > 0], model, better)
    lines = []
    for _, alike in told.groupby("dtype", sort=True):
        groups: list[tuple[Any, pd.DataFrame]] = list(alike.groupby(other, sort=True))
        across = _of_equal_product(alike, x)
        if equal_tokens and across[x].nunique() > max((group[x].nunique() for _, group in groups), default=0):
            groups = [(float("nan"), across)]
        for at, group in groups:
            values = {float(str(place)): part["value"].to_numpy(float) for place, part in group.groupby(x)}
            if len(values) > 1 and max(values) >= SPAN * min(values):
                lines.append(_line(values, metric, {"series": group["label"].iloc[0], other: at}, group))
    return pd.DataFrame(lines)


def _other(x: str) -> str:
    return "batch_size" if x == "sequence_length" else "sequence_length"


def _of_equal_product(told: pd.DataFrame, x: str) -> pd.DataFrame:
    """The most cells whose batch and length have the same product; of as many the largest product."""
    product = told["batch_size"] * told["sequence_length"]
    counts = told.groupby(product)[x].nunique()
    return told[product == counts[counts == counts.max()].index.max()]


def _line(values: dict[float, np.ndarray], metric: str, start: dict[str, Any], group: pd.DataFrame) -> dict[str, Any]:
    medians = np.asarray([np.median(each) for each in values.values()])
    slope, low, high = intervals.slope_of(values)
    falls = np.maximum.accumulate(medians) / medians
    return start | {
        "from": min(values), "to": max(values), f"{metric}_from": medians[0], f"{metric}_to": medians[-1],
        "slope": slope, "low": low, "high": high, "largest_over_smallest": medians.max() / medians.min(),
        "largest_fall": falls.max(), "point": " ".join(sorted(set(group["point"]))),
    }  # fmt: skip


def flat_rule(over: str, several: str, of: str, steep: float, swing: float) -> str:
    """How a time that is claimed to be flat is judged."""
    return (
        f"For every {of} measured over {several} a factor of {SPAN} apart, the slope of log latency against log "
        f"{over}, and the largest median over the smallest: flat where the whole 95% interval of the slope is within "
        f"±{steep} and no median is more than {swing} times another, not flat where the whole interval is outside "
        f"±{steep} and some median is more than {swing} times another; what breaks one bound and keeps the other is "
        f"neither. Supported where all are flat, contradicted where all are not, mixed otherwise ({OVER})."
    )


def flat(line: dict, steep: float, swing: float) -> str:
    """Supported where the interval is within ±`steep` and no median is more than `swing` times another, contradicted
    where the interval is outside and some median is; mixed otherwise, as where a slope is steep over so short a range
    that it comes to little, or gentle over so long a one that it comes to much."""
    rises = _evidence.by_interval(line["low"], line["high"], steep, above=False)
    falls = _evidence.by_interval(line["low"], line["high"], -steep)
    alike = line["largest_over_smallest"] <= swing
    if CONTRADICTED in (rises, falls):
        return MIXED if alike else CONTRADICTED
    return SUPPORTED if rises == falls == SUPPORTED and alike else MIXED


def words(table: pd.DataFrame, x: str) -> str:
    """The slopes in words."""
    name, at = _evidence.NOUNS[x], _evidence.NOUNS[_other(x)]
    said = []
    for line in table.to_dict("records"):
        over = f"{name} {wording.number(line['from'])} to {wording.number(line['to'])}"
        beside = (
            f"at {at} {wording.number(line[_other(x)])}" if pd.notna(line[_other(x)]) else "at equal tokens per step"
        )
        steep = wording.interval(line["slope"], line["low"], line["high"], _three)
        part = f"slope {steep} over {over} {beside}"
        if pd.notna(line["low"]):
            part += f", largest over smallest {line['largest_over_smallest']:.2f}"
        said.append(part)
    return "; ".join(said) + (f" ({OVER})" if table["low"].notna().any() else "")


def _short(table: pd.DataFrame, x: str) -> str:
    """The largest over the smallest, of the line where it is largest; of lines that show the same, the longest."""
    told = table.assign(shown=table["largest_over_smallest"].round(2), range=table["to"] / table["from"])
    line = told.sort_values(["shown", "range"], kind="stable").iloc[-1]
    places = f"{_evidence.NOUNS[x]} {wording.number(line['from'])} to {wording.number(line['to'])}"
    return f"the largest {line['largest_over_smallest']:.2f} times the smallest over {places}"


def _three(value: float) -> str:
    return f"{round(value, 3) + 0.0:.3f}"  # no negative zero
