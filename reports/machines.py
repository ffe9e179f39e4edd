"""Where rows that are compared come from: a folder may hold those of several machines of one name, at several commits.

How far two such machines differ nobody has measured, so a difference between models may be one between machines.
An experiment's page says so of all its rows, by measure (`compared`); the triangle page, the README's tables and claims
say it of the rows behind what they show (`behind`).
"""

from typing import Any

import pandas as pd

from reports import plurals, rows, wording

SHORT = {"machine": 6, "commit": 7}  # letters that tell them apart
ALONE = ("forms", "self_test")  # measures that compare a model with itself, or with a known answer


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
    """The same of the rows behind a table, which its column `point` names."""
    points = result_set.points.drop_duplicates("point", keep="last")
    told = _placed(result_set, rows.behind(points, table))
    if told["machine"].nunique() < 2:
        return ""
    return f"This compares rows of different machines: {_sides(told)}. {_named(told)}"


def _placed(result_set: Any, points: pd.DataFrame) -> pd.DataFrame:
    """Those of the points that are compared with others, with machine, device_name and commit."""
    where = rows.environments(result_set).fillna({"commit": "unknown"})
    changed = rows.changed(where)
    where = where[["environment", "machine", "device_name", "commit"]]
    where = where.assign(**{name: where[name].str[:length] for name, length in SHORT.items()})
    where.loc[changed, "commit"] += " with changes"
    return points[~points["measure"].isin(ALONE)].merge(where, on="environment")


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
