"""Where rows that are compared come from: a folder may hold those of several machines of one name, at several commits.

How far two such machines differ nobody has measured, so a difference between models may be one between machines.
An experiment's page says so of all its rows, by measure (`compared`); the triangle page, the README's tables and claims
say it of the rows behind what they show, where those that are compared with each other are of several (`behind`).
"""

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from reports import plurals, rows, wording

SHORT = {"machine": 6, "commit": 7}  # letters that tell them apart
COMPARING_NO_MODELS = ("forms", "self_test")  # but a model with itself, or with a known answer
SEEDED = "language"  # the measure whose rows are compared seed by seed
NOUNS = {"sequence_length": "length", "batch_size": "batch", "seed": "seed"}
SEVERAL = 3  # values that are listed; of more the ends are told


def compared(result_set: Any) -> str:
    """Which measures compare models across machines, in a sentence or two; empty where none does."""
    points = rows.current(result_set.points)
    told = _placed(result_set, points[points["status"] == "ok"])
    split: dict[str, list[str]] = {}
    for measure, group in told.groupby("measure", sort=True):
        if group["machine"].nunique() > 1:
            split.setdefault(_sides(group), []).append(str(measure))
    if not split:
        return ""
    parts = [f"in {wording.listed(measures)} {sides}" for sides, measures in split.items()]
    mixed = told[told["measure"].isin([measure for measures in split.values() for measure in measures])]
    return (
        f"Rows of different machines are compared, so a difference may be one between machines: {'; '.join(parts)}. "
        f"{_named(mixed)}"
    )


def behind(result_set: Any, table: pd.DataFrame) -> str:
    """The same of the rows behind a table, which its column `point` names: of those groups alone that are compared.

    Compared are rows of one measure and cell, predictions of one seed, and a model's rows behind one line of the table,
    as where that is a slope; but not its seeds, of which a line has the mean.
    """
    told = _placed(result_set, rows.behind(result_set.points.drop_duplicates("point", keep="last"), table))
    mixed = [group for group in _groups(told, table) if group["machine"].nunique() > 1]
    if not mixed:
        return ""
    split: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for group in mixed:
        split.setdefault((str(group["measure"].iloc[0]), _sides(group)), []).append(group)
    parts = []
    for (measure, _), groups in split.items():
        whole = pd.concat(groups).drop_duplicates("point")
        parts.append(f"in {measure} {_where(whole)}, {_sides(whole)}")
    return f"This compares rows of different machines: {'; '.join(parts)}. {_named(pd.concat(mixed))}"


def _groups(told: pd.DataFrame, table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The groups of these rows that are compared with each other, each once."""
    seeded = told["measure"] == SEEDED
    for part, factors in ((told[seeded], ["seed"]), (told[~seeded], rows.CELL)):
        yield from _split(part, ["measure", *factors])
    cells = told[~seeded]
    for line in table["point"].drop_duplicates():
        for group in _split(cells[cells["point"].isin(line.split())], ["measure", "label"]):
            if len(group[rows.CELL].drop_duplicates()) > 1:
                yield group


def _split(told: pd.DataFrame, factors: list[str]) -> list[pd.DataFrame]:
    return [group for _, group in told.groupby(factors, dropna=False, sort=True)]


def _where(told: pd.DataFrame) -> str:
    """'at length 8,192, batch 1 and 8', or 'of seed 1'; of which model where it is compared with itself."""
    seeded = (told["measure"] == SEEDED).all()
    names = ["seed"] if seeded else ["sequence_length", "batch_size"]
    parts = [f"{NOUNS[name]} {_values(told[name].dropna())}" for name in names if told[name].notna().any()]
    labels = told.drop_duplicates("label")[["label", "model"]]
    whose = f"of {wording.title(*labels.iloc[0])} " if len(labels) == 1 else ""
    return f"{whose}{'of' if seeded else 'at'} {', '.join(parts)}"


def _values(given: Iterable[Any]) -> str:
    known = [wording.number(value) for value in sorted(set(given))]
    return wording.listed(known) if len(known) <= SEVERAL else f"{known[0]} to {known[-1]}"


def _placed(result_set: Any, points: pd.DataFrame) -> pd.DataFrame:
    """Those of the points that are compared with others, with machine, device_name and commit."""
    where = rows.environments(result_set).fillna({"commit": "unknown"})
    changed = rows.changed(where)
    where = where[["environment", "machine", "device_name", "commit"]]
    where = where.assign(**{name: where[name].str[:length] for name, length in SHORT.items()})
    where.loc[changed, "commit"] += " with changes"
    return points[~points["measure"].isin(COMPARING_NO_MODELS)].merge(where, on="environment")


def _sides(told: pd.DataFrame) -> str:
    """'RetNet of machine a06c4b with Transformer of machine 3c0ead'; how many rows where a model's are of several."""
    apart = (told.groupby("label")["machine"].nunique() == 1).all()
    sides = []
    for machine, group in told.groupby("machine", sort=True):
        what = wording.listed(_names(group, told)) if apart else plurals.counted(len(group), "row")
        sides.append(f"{what} of machine {machine}")
    return " with ".join(sides)


def _names(group: pd.DataFrame, told: pd.DataFrame) -> list[str]:
    """The models of one side; by entry where other entries of one stand on another side."""
    names: dict[str, None] = {}
    for label, model in group[["label", "model"]].drop_duplicates().sort_values("label").itertuples(index=False):
        whole = (told.loc[told["model"] == model, "machine"] == group["machine"].iloc[0]).all()
        names[wording.title(model if whole else label, model)] = None
    return list(names)


def _named(told: pd.DataFrame) -> str:
    """'Machines: 3c0ead (NVIDIA H200, commit 4d138da) and ...'."""
    parts = []
    for (machine, device), group in told.groupby(["machine", "device_name"], sort=True):
        commits = sorted(set(group["commit"]))
        parts.append(f"{machine} ({device}, {plurals.plural(len(commits), 'commit')} {wording.listed(commits)})")
    return f"Machines: {wording.listed(parts)}."
