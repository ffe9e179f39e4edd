"""Two models against each other at the longest length that both ran: the ratio of their medians, at one batch or at
every one, and what a claim that one is better, or no worse, makes of it."""

import dataclasses
from collections.abc import Callable, Collection
from typing import Any

import pandas as pd

from reports import intervals, rows, wording
from reports.claims import Finding, _evidence, together
from reports.rows import CELL

BATCHES = ("largest", "smallest", "every")
Judge = Callable[[float, float, float, str], str]  # of low, high, margin, and whether higher or lower is better


@dataclasses.dataclass(frozen=True)
class Cell:
    """One ratio: where, its interval (the value itself where bytes are counted), the samples of both, the verdict."""

    at: Any  # of CELL
    value: float
    low: float
    high: float
    parts: tuple[pd.DataFrame, pd.DataFrame]
    verdict: str

    @property
    def batch(self) -> str:
        return wording.number(self.at["batch_size"])

    @property
    def names(self) -> tuple[str, str]:
        """The entries that stand for the two models."""
        first, second = (wording.title(part["label"].iloc[0], part["model"].iloc[0]) for part in self.parts)
        return first, second


def ratio(
    result_set: Any, measure: str, metric: str, models: tuple[str, str], least: int = 0, batch: str = "largest",
    better: str = "higher", margin: float = 0.0, counted: bool = False, fastest: bool = False,
    points: Collection[str] | None = None, judge: Judge = _evidence.by_margin, ends: bool = False,
) -> Finding | None:  # fmt: skip
    """Judges `first / second` against 1 and a margin at the longest length that both ran, at least `least`, with `ends`
    at the shortest such length too, and there the largest, the smallest or every batch. Bytes are `counted`, not timed,
    and have no interval. Of several variants of a model it takes the one with the best metric, or the `fastest`: its
    memory is the price of that speed. Of `points`, where these are given, alone."""
    told = _evidence.measured(result_set, measure, metric)
    told = told[told["model"].isin(models)]
    told = told if points is None else told[told["point"].isin(points)]
    speeds = _evidence.measured(result_set, measure, _evidence.SPEED) if fastest else told.iloc[:0]
    speeds = speeds[speeds["point"].isin(told["point"])]

    def found(told: pd.DataFrame) -> Finding | None:
        each = [
            [
                _cell(told, speeds, at, models, better, lambda low, high: judge(low, high, margin, better), counted)
                for at in places
            ]
            for places in _places(told, least, batch, ends)
        ]
        found = [_finding(cells, metric, counted, batch == "every") for cells in each]
        return _joined(found, each) if ends and found else found[-1] if found else None

    return found(told) if counted else _evidence.unless_launches(told, found, models[0])


def _places(told: pd.DataFrame, least: int, batch: str, ends: bool) -> list[list[Any]]:
    """The cells at which both models are compared, of each length that counts."""
    both = told.groupby(CELL, dropna=False)["model"].nunique().reset_index()
    both = both[both["model"] == 2].sort_values(CELL)
    both = both[both["sequence_length"].fillna(0) >= least]
    lengths = sorted(set(both["sequence_length"].fillna(0)))
    kept = dict.fromkeys([lengths[0], lengths[-1]] if ends and lengths else lengths[-1:])
    return [_batches(both[both["sequence_length"].fillna(0) == length], batch) for length in kept]


def _batches(here: pd.DataFrame, batch: str) -> list[Any]:
    if batch == "every":
        return [at for _, at in here[here["dtype"] == here["dtype"].iloc[-1]].iterrows()]
    return [here.iloc[-1 if batch == "largest" else 0]]


def _cell(
    told: pd.DataFrame, speeds: pd.DataFrame, at: Any, models: tuple[str, str], better: str,
    judge: Callable[[float, float], str], counted: bool,
) -> Cell:  # fmt: skip
    here = rows.alike(told, at[CELL])
    quick = [_evidence.entry(rows.alike(speeds, at[CELL]), model)["point"] for model in models]
    own = [here[here["point"].isin(points)] if len(points) else here for points in quick]
    first, second = (_evidence.entry(told, model, better) for told, model in zip(own, models, strict=True))
    value, low, high = intervals.ratio(first["value"], second["value"])
    return Cell(at, value, low, high, (first, second), judge(*((value, value) if counted else (low, high))))


def _finding(cells: list[Cell], metric: str, counted: bool, every: bool) -> Finding:
    name = metric.replace("_", " ")
    sure = not counted and pd.notna(cells[0].low)
    if every:
        each = [f"{wording.interval(cell.value, cell.low, cell.high)} times at batch {cell.batch}" for cell in cells]
        text = f"{_of(cells)}{_at(cells[0], ['sequence_length'])}: {name} {wording.listed(each)}"
        text += f", {_evidence.IN_ONE}" if sure else ""
        text += f".{_by_batch(cells)}"
    else:
        (cell,) = cells
        text = f"{_of(cells)}{_at(cell, list(_evidence.NOUNS))}: "
        text += f"{name} {wording.interval(cell.value, cell.low, cell.high)} times"
        text += f", {_evidence.IN_ONE}." if sure else "."
    table = pd.DataFrame([_evidence.line(part, metric) for cell in cells for part in cell.parts])
    return Finding(together(cell.verdict for cell in cells), text, table, _short(cells))


def _joined(found: list[Finding], each: list[list[Cell]]) -> Finding:
    """One finding of those of several lengths; in short with the names of both entries and each length."""
    short: dict[str, list[str]] = {}
    for one, cells in zip(found, each, strict=True):
        short.setdefault(_of(cells), []).append(f"{one.short}{_at(cells[0], ['sequence_length'])}")
    told = "; ".join(f"{names}: {', '.join(parts)}" for names, parts in short.items())
    table = pd.concat([one.table for one in found], ignore_index=True)
    return Finding(together(one.verdict for one in found), " ".join(one.text for one in found), table, told)


def _of(cells: list[Cell]) -> str:
    """'RetNet over Transformer', by entry; of entries that differ by batch, those of each."""
    sides = []
    for side in (0, 1):
        names = {cell.batch: cell.names[side] for cell in cells}
        if len(set(names.values())) == 1:
            sides.append(cells[0].names[side])
            continue
        model = cells[0].parts[side]["model"].iloc[0]
        own = wording.listed([f"{name.partition(' ')[2] or 'as it is'} at {batch}" for batch, name in names.items()])
        sides.append(f"{wording.title(model, model)} ({own})")
    return " over ".join(sides)


def _by_batch(cells: list[Cell]) -> str:
    """At which batches which verdict, where they differ."""
    verdicts = list(dict.fromkeys(cell.verdict for cell in cells))
    if len(verdicts) == 1:
        return ""
    each = [f"{one} at {wording.listed([cell.batch for cell in cells if cell.verdict == one])}" for one in verdicts]
    return f" By batch: {wording.listed(each)}."


def _short(cells: list[Cell]) -> str:
    """'1.4 times', or the least and the most over the batches."""
    values = [f"{cell.value:.3g}" for cell in cells]
    if len(cells) == 1:
        return f"{values[0]} times"
    low, high = (f"{each:.3g}" for each in (min(cell.value for cell in cells), max(cell.value for cell in cells)))
    spread = f"{low} to {high}" if low != high else low
    return f"{spread} times over batches {cells[0].batch} to {cells[-1].batch}"


def _at(cell: Cell, names: list[str]) -> str:
    places = [f"{_evidence.NOUNS[name]} {wording.number(cell.at[name])}" for name in names if pd.notna(cell.at[name])]
    return f" at {', '.join(places)}" if places else ""
