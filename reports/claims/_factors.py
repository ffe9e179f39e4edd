"""Factors that the paper states: how many times better RetNet is than a Transformer, and than which.

The paper does not say how its Transformer was decoded. So there are two: one as a library of its time would, eager
attention over a cache that is copied for every token, operator by operator, and one as well as it can be, fused
attention over reserved slots in a captured graph. A claim holds where RetNet reaches the factor against both.
"""

import functools
import math
from typing import Any

import pandas as pd

from reports import intervals, launches, rows, wording
from reports.claims import CONTRADICTED, MIXED, SUPPORTED, UNTESTABLE, Finding, _evidence, together

LENGTH = 8192  # tokens, the paper's longest
PARAMETERS = 6_000_000_000  # the least that stand for the paper's 6.7B
NAIVE = "a naive Transformer"
DECODED = {
    NAIVE: {"implementation": "eager", "cache": "concatenated"},
    "a good Transformer": {"implementation": "sdpa", "cache": "preallocated"},
}
WRITTEN_OUT = {"a Transformer whose scores are written out": {"implementation": "eager"}}
WITHIN = f"the whole 95% interval is no more than {_evidence.MARGIN:.0%} below the factor"
WORDS = {SUPPORTED: "reached", CONTRADICTED: "missed", MIXED: "undecided"}


def rule() -> str:
    """How a factor against both Transformers is judged."""
    return (
        f"Against each Transformer, the median of RetNet over its own, of models of {PARAMETERS:,} parameters or more "
        f"at a length of {LENGTH:,} and the largest batch that both ran: reached where {WITHIN}, missed where all of "
        "it is further below. Supported where it is reached against both, contradicted where against neither, mixed "
        f"otherwise; undecided where one of them was not measured or decides nothing. {_evidence.LAUNCH_RULE} The "
        "naive one is launched by its nature."
    )


def judge(
    result_set: Any, measure: str, metric: str, factor: float | dict[int, float], better: str = "higher",
    rivals: dict[str, dict[str, str]] = DECODED, least: int = PARAMETERS,
) -> Finding | None:  # fmt: skip
    """The finding against every rival, without a verdict where one has none, or None where one is missing.

    Of factors by the number of parameters that of the nearest.
    """
    told = long(result_set, measure, metric, least)

    def against(told: pd.DataFrame, rival: str) -> Finding | None:
        return _against(told, rival, rivals[rival], metric, factor, better)

    naive = told.loc[told["launches"] & told.index.isin(of(told, rivals.get(NAIVE, {})).index), "point"]
    told = told.assign(launches=told["launches"] & ~told["point"].isin(naive))
    found = [_evidence.unless_launches(told, functools.partial(against, rival=name), "retnet") for name in rivals]
    kept = [each for each in found if each is not None]
    if len(kept) < len(rivals):
        return None
    table = pd.concat([each.table for each in kept]).drop_duplicates(ignore_index=True)
    verdicts = [each.verdict for each in kept]
    verdict = UNTESTABLE if UNTESTABLE in verdicts else together(verdicts)
    shown = rows.behind(told, table)["point"]
    more = f" {NAIVE.capitalize()} was {launches.UNGRAPHED}." if shown.isin(naive).any() else ""
    short = "; ".join(each.short for each in kept)
    return Finding(verdict, " ".join(each.text for each in kept) + more, table, short)


def long(result_set: Any, measure: str, metric: str, least: int = PARAMETERS) -> pd.DataFrame:
    """As `_evidence.measured`, with parameters and the models' options, of models and of the length that count."""
    told = _evidence.measured(result_set, measure, metric)
    points = result_set.points.drop_duplicates("point", keep="last")
    options = [name for name in points if str(name).startswith("option.")]
    told = told.merge(points[["point", "parameters", *options]], on="point")
    return told[(told["parameters"].fillna(0) >= least) & (told["sequence_length"] == LENGTH)]


def of(told: pd.DataFrame, options: dict[str, str]) -> pd.DataFrame:
    """The rows of a Transformer with these options; none where rows have no such options, or none are given."""
    columns = {f"option.{option}": value for option, value in options.items()}
    known = bool(columns) and set(columns) <= set(told)
    return rows.alike(told[told["model"] == "transformer"], columns) if known else told.iloc[:0]


def _against(
    told: pd.DataFrame, rival: str, wanted: dict[str, str], metric: str, factor: float | dict[int, float], better: str
) -> Finding | None:  # fmt: skip
    told = told.assign(batch=told["batch_size"].fillna(0))  # 0: the measure finds one for each model
    theirs = of(told, wanted)
    mine, theirs = _alike_recomputed(told[told["model"] == "retnet"], theirs)
    batch = max(set(mine["batch"]) & set(theirs["batch"]), default=None)
    if batch is None:
        return None
    mine, theirs = (part[part["batch"] == batch] for part in (mine, theirs))
    above, below = (mine, theirs) if better == "higher" else (theirs, mine)
    value, low, high = intervals.ratio(above["value"], below["value"])
    text = f"Against {rival}, {f'batch {wording.number(batch)}' if batch else 'each at its own largest batch'}: "
    text += f"{wording.interval(value, low, high)} times {'more' if better == 'higher' else 'less'}"
    text += "" if pd.isna(low) else f", {_evidence.IN_ONE}"
    claimed = _nearest(factor, mine["parameters"].median()) if isinstance(factor, dict) else factor
    text += f", where {wording.number(claimed)} are claimed"
    ends = (value, value) if pd.isna(low) else (low, high)
    table = pd.DataFrame([_evidence.line(part, metric) for part in (mine, theirs)])
    verdict = _reached(*ends, claimed * (1 - _evidence.MARGIN))
    near = f" within {_evidence.MARGIN:.0%}" if verdict == SUPPORTED and value < claimed else ""
    return Finding(verdict, f"{text}.", table, f"{value:.3g} times against {rival}, {WORDS[verdict]}{near}")


def _nearest(factors: dict[int, float], parameters: float) -> float:
    return factors[min(factors, key=lambda size: abs(math.log(size / parameters)))]


def _alike_recomputed(mine: pd.DataFrame, rival: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Of training that goes through blocks again and of training that does not, what both ran; rather without."""
    kinds = [_evidence.recomputed(part) for part in (mine, rival)]
    both = sorted(set(kinds[0]) & set(kinds[1]))
    if not both:
        return mine.iloc[:0], rival.iloc[:0]
    return mine[kinds[0] == both[0]], rival[kinds[1] == both[0]]


def _reached(low: float, high: float, bound: float) -> str:
    return SUPPORTED if low >= bound else CONTRADICTED if high < bound else MIXED
