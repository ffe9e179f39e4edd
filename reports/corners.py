"""The three corners of the triangle for every model of one result set, by the formula that the page states.

A corner is a ratio to the best model there, so 1 is the best:

    training  tokens/s while training / the same for the best, at the longest training length that most ran
    decode    tokens/s while decoding / the same for the best, at the longest context and largest batch that most ran
    quality   (order-0 entropy - bits per byte) / the same for the best, on the same held-out bytes

Quality starts at what byte frequencies alone give, so a model that has learned nothing gets 0. A corner without a value
is a gap, never a zero. `weakest` is the smallest of the three: a model that has all three at once, which is what the
"impossible triangle" is about, has a large one.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from reports import budget, intervals, language, launches, passes, plurals, rows, wording
from reports.corner import ALL, BY_NAME, VALUES, Where
from reports.rows import CELL

EXPERIMENTS = ("triangle", "triangle_gpu")  # those that the triangle page and README.md are about
CORNERS = tuple(BY_NAME)
WEIGHTS = " weights and optimiser"  # whose number format is the row's, also under autocast
ALONE = "One model alone: every ratio is 1 by definition."
NOTHING_LEARNED = "no model does better than byte frequencies alone"


@dataclasses.dataclass(frozen=True)
class Corners:
    """`table` has a line per label; `where` says for each corner what it was measured at; `cautions` why a corner does
    not rank architectures, for each that does not; `edges` whose quality may be better than shown."""

    table: pd.DataFrame
    where: dict[str, Where]
    cautions: dict[str, str]
    edges: str = ""

    @property
    def alone(self) -> str:
        """`ALONE` where there is one model, which nothing is found about; empty where there are more."""
        return ALONE if len(self.table) == 1 else ""

    def caution(self, names: Iterable[str] = CORNERS) -> str:
        """What is to be said of these corners; empty where nothing is."""
        return " ".join(self.cautions[name] for name in names if name in self.cautions)


@rows.once
def measure(result_set: Any) -> Corners | None:
    """The corners of a result set that has all three measures and a value in each; None for any other."""
    if lacking(result_set):
        return None
    parts = {name: part for name, (part, _) in _parts(result_set).items()}
    where = {name: at for name, (_, at) in _parts(result_set).items()}
    points = pd.concat([rows.comparable(result_set, one.measure) for one in ALL])
    table = points.groupby("label", sort=True)["model"].first().reset_index().rename(columns={"label": "series"})
    for name, part in parts.items():
        table = table.merge(part, on="series", how="left")
        table[f"{name}_missing"] = [
            "" if pd.notna(ratio) else NOTHING_LEARNED if pd.notna(value) else _why(points, name, series)
            for series, value, ratio in table[["series", VALUES[name], f"{name}_ratio"]].itertuples(index=False)
        ]
    ratios = table[[f"{name}_ratio" for name in CORNERS]]
    table["weakest"] = ratios.min(axis=1).where(ratios.notna().all(axis=1))
    table["point"] = [" ".join(line) for line in table[[f"{name}_point" for name in CORNERS]].fillna("").to_numpy()]
    table["point"] = table["point"].str.split().str.join(" ")
    table = table.drop(columns=[f"{name}_point" for name in CORNERS])
    return Corners(table, where, _cautions(result_set, points, table), language.edges(result_set))


def lacking(result_set: Any) -> list[str]:
    """The corners in which no model of a result set has a value."""
    return [name for name, (table, _) in _parts(result_set).items() if table.empty]


@rows.once
def _parts(result_set: Any) -> dict[str, tuple[pd.DataFrame, Where]]:
    """For each corner a line per label, none where nobody has a value, and what it was measured at."""
    return {one.name: _speed(result_set, one.name) if one.is_speed else _quality(result_set) for one in ALL}


def _cautions(result_set: Any, points: pd.DataFrame, table: pd.DataFrame) -> dict[str, str]:
    shown = rows.behind(points, table)
    told = {name: launches.told(result_set, shown[shown["measure"] == name]) for name in CORNERS}
    return {name: text for name, text in told.items() if text}


def _speed(result_set: Any, name: str) -> tuple[pd.DataFrame, Where]:
    """A line per label at the cell that most labels ran: the longest, then the largest batch; and which cell that is.

    Of several forms a label shows its fastest.
    """
    points = rows.comparable(result_set, name)
    samples = rows.samples_of(result_set, points, "tokens_per_second")
    told = samples.merge(points[["point", "label", "form", "state_bytes", *CELL]], on="point")
    if told.empty:
        return pd.DataFrame(), Where("")
    ran = told.groupby(CELL, dropna=False)["label"].nunique().rename("labels").reset_index()
    cell = ran.sort_values(["labels", *CELL]).iloc[-1]
    here = rows.alike(told, cell[CELL])
    lines = [_fastest(str(label), group, name) for label, group in here.groupby("label", sort=True)]
    table = pd.DataFrame(lines)
    table[f"{name}_ratio"] = table[VALUES[name]] / table[VALUES[name]].max()
    at = f"{_place(cell)}, {cell['dtype']}{WEIGHTS if name == 'training' else ''}"
    at += f", where {cell['labels']} of {points['label'].nunique()} models ran"
    over = [_passed_text(line, cell, ran) for line in _passed(points, cell)]
    where = Where(at, wording.listed(over) if over else "", *_at_the_shortest(told, ran, cell, points))
    return table, where


def _at_the_shortest(
    told: pd.DataFrame, ran: pd.DataFrame, cell: Any, points: pd.DataFrame
) -> tuple[str, tuple[str, ...]]:
    """The same corner at the shortest length that as many ran in its number format; empty where there is none, or one
    model, which is the best at every length.

    Where lengths differ, they decide who is how far behind.
    """
    same = ran[(ran["labels"] == cell["labels"]) & (ran["dtype"] == cell["dtype"])]
    same = same[same["sequence_length"] < cell["sequence_length"]]
    if same.empty or cell["labels"] == 1:
        return "", ()
    other = same["batch_size"] != cell["batch_size"]
    shortest = same.assign(other=other).sort_values(["sequence_length", "other", "batch_size"]).iloc[0]
    here = rows.alike(told, shortest[CELL])
    speeds = {str(label): _form_medians(group).max() for label, group in here.groupby("label", sort=True)}
    models = points.drop_duplicates("label").set_index("label")["model"].to_dict()
    best = max(speeds.values())
    ordered = sorted(speeds.items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{wording.title(label, models[label])} {speed / best:.2f}" for label, speed in ordered]
    return _place(shortest), tuple(parts)


def _form_medians(group: pd.DataFrame) -> pd.Series:
    """tokens/s of each form that one label ran, "" where it has no forms; the largest is that of its fastest."""
    return group.groupby(group["form"].fillna(""))["value"].median()


def _fastest(label: str, group: pd.DataFrame, name: str) -> dict[str, Any]:
    forms = _form_medians(group)
    best = group[group["form"].fillna("") == forms.idxmax()]
    values = best["value"].to_numpy(float)
    low, high = intervals.bootstrap(values)
    told = {"series": label, VALUES[name]: float(np.median(values)), f"{name}_low": low, f"{name}_high": high}
    told |= {f"{name}_repeats": len(values), f"{name}_form": forms.idxmax()}
    if name == "decode":
        told["state_bytes"] = best["state_bytes"].iloc[0]
    return told | {f"{name}_point": " ".join(sorted(set(best["point"])))}


def _passed(points: pd.DataFrame, cell: Any) -> list[dict]:
    """The cells that were tried and are longer, or as long with a larger batch."""
    tried = points[CELL].dropna().drop_duplicates().sort_values(CELL)
    longer = tried["sequence_length"] > cell["sequence_length"]
    larger = (tried["sequence_length"] == cell["sequence_length"]) & (tried["batch_size"] > cell["batch_size"])
    return tried[longer | larger].to_dict("records")


def _passed_text(line: dict, cell: Any, ran: pd.DataFrame) -> str:
    count = rows.alike(ran, line)["labels"].sum()
    dtype = "" if line["dtype"] == cell["dtype"] else f", {line['dtype']}"
    return f"{_place(line)}{dtype} ({count or 'none'} ran)"


def _place(cell: Any) -> str:
    return f"length {wording.number(cell['sequence_length'])}, batch {wording.number(cell['batch_size'])}"


def _quality(result_set: Any) -> tuple[pd.DataFrame, Where]:
    """A line per label that was trained under the one budget; and what it was trained on, how long and how often."""
    told = language.headline(result_set)
    told = told[told["order0_entropy"].notna()]
    if told.empty:
        return pd.DataFrame(), Where("")
    table = language.by_label(told, "bits_per_byte")
    table = table.rename(columns={"low": "quality_low", "high": "quality_high", "point": "quality_point"})
    order0 = told.groupby("label")["order0_entropy"].mean()
    table["order0_entropy"] = table["series"].map(order0)
    gained = table["order0_entropy"] - table["bits_per_byte"]
    table["quality_ratio"] = gained / gained.max() if gained.max() > 0 else float("nan")
    table["learning_rate"] = table["series"].map(language.rates(result_set)).astype(float)
    length = wording.listed([wording.number(value) for value in sorted(set(told["training_sequence_length"].dropna()))])
    tokens = wording.listed([wording.number(value) for value in sorted(set(told["training_tokens"].dropna()))], "or")
    seeds = wording.listed([plurals.counted(value, "seed") for value in sorted(set(table["seeds"]))], "or")
    trained = passes.told(result_set, rows.behind(result_set.points, told))
    text = f"held-out text at the training length {length}, after {tokens} training tokens{_corpus(told)}"
    text += f" ({trained})" if trained else ""
    one = budget.one(result_set)
    text += {"tokens": "", "flops": " at equal training FLOPs", "seconds": " in equal training time"}[one.kind]
    text += f", {seeds}, {_trained(result_set)}"
    if one.dropped:
        text += f"; left out, as trained otherwise: {plurals.counted(one.dropped, 'row')}"
    return table.drop(columns=["model", "status", "reason"]), Where(text)


def _trained(result_set: Any) -> str:
    """In which number format: that of the rows, and what their products are lowered to where the settings say so."""
    formats = wording.listed(sorted(set(language.results(result_set)["dtype"])))
    lowered = ((result_set.settings or {}).get("training") or {}).get("autocast")
    return f"{formats}{WEIGHTS}{', forward passes under bfloat16 autocast' if lowered else ''}"


def _corpus(told: pd.DataFrame) -> str:
    names = [wording.corpus(name) for name in sorted(set(told["corpus"].dropna()))]
    return f" of {wording.listed(names)}" if names else ""


def _why(points: pd.DataFrame, name: str, series: str) -> str:
    """Why a corner is a gap, from the rows that should have filled it."""
    told = points[(points["label"] == series) & (points["measure"] == BY_NAME[name].measure)]
    failed = told[told["status"] != "ok"]
    if told.empty:
        return "not measured"
    if failed.empty:
        return BY_NAME[name].absent
    line = failed.iloc[-1]
    reason = f": {line['reason']}" if pd.notna(line["reason"]) else ""
    return f"{rows.STATUS_TEXT[line['status']]}{reason}"
