"""Planned points that have no row: what no run got to, which no table of rows can show."""

from typing import Any

import pandas as pd

from reports import plurals, rows, wording

KEY = ["measure", "label", "form", "batch_size", "sequence_length", "dtype", *rows.SHAPE, "seed", "role"]
MOST = 8  # sizes of one measure that are named


def counted(result_set: Any) -> str:
    """'48 of 126 planned points have no row'; empty where all have one, or where no plan was kept."""
    plan, missing = _plan(result_set), _missing(result_set)
    verb = "has" if len(missing) == 1 else "have"
    return f"{len(missing)} of {plurals.counted(len(plan), 'planned point')} {verb} no row" if len(missing) else ""


def there(result_set: Any, measure: str | None = None) -> tuple[int, int | None]:
    """How many planned points have a row, of all or of one measure, and how many are planned; where no plan was kept,
    how many points have one, and None."""
    plan, missing, points = _plan(result_set), _missing(result_set), rows.current(result_set.points)
    each = [table["measure"] == measure if measure else table["measure"].notna() for table in (plan, missing, points)]
    planned, gone, has = (int(kept.sum()) for kept in each)
    return (has, None) if plan.empty else (planned - gone, planned)


def told(result_set: Any) -> str:
    """The same, and which they are, by measure; a size is batch×length."""
    plan, missing = _plan(result_set), _missing(result_set)
    parts = []
    for measure, group in missing.groupby("measure", sort=True):
        whole = plan[plan["measure"] == measure]
        cells: dict[tuple[str, ...], list[str]] = {}
        for label, mine in group.groupby("label", sort=True):
            every = len(mine) == (whole["label"] == label).sum()
            sizes = () if every else tuple(dict.fromkeys(_size(line, whole) for line in mine.to_dict("records")))
            cells.setdefault(sizes, []).append(str(label))
        for sizes, labels in cells.items():
            of = "all models" if len(labels) == whole["label"].nunique() > 1 else wording.listed(labels)
            parts.append(f"{'' if sizes else 'all of '}{measure} of {of}{_at(list(sizes))}")
    return f"{counted(result_set)}: {'; '.join(parts)}." if parts else ""


@rows.once
def _plan(result_set: Any) -> pd.DataFrame:
    """What was planned, without the further seeds of entries that have no rate to train them with."""
    plan = getattr(result_set, "planned", None)
    if plan is None or plan.empty:
        return pd.DataFrame(columns=[*KEY, "learning_rate"])
    trials = result_set.points[result_set.points["role"] == "trial"]
    failed = [label for label, mine in trials.groupby("label") if not (mine["status"] == "ok").any()]
    return plan[~((plan["role"] == "chosen") & plan["label"].isin(failed))]


@rows.once
def _missing(result_set: Any) -> pd.DataFrame:
    """Those without a row, whatever its status; a `chosen` one is planned without its rate."""
    plan, there = _plan(result_set), set(_keys(result_set.points))
    return plan[pd.Series([key not in there for key in _keys(plan)], index=plan.index, dtype=bool)]


def _keys(table: pd.DataFrame) -> list[tuple[Any, ...]]:
    rate = table["learning_rate"].where(table["role"] != "chosen")
    keys = table[KEY].assign(learning_rate=rate).astype(object)
    return list(keys.where(keys.notna(), None).itertuples(index=False, name=None))


def _size(line: dict[Any, Any], whole: pd.DataFrame) -> str:
    """Where in its measure's grid a planned point stands; of what is the same everywhere not a word."""
    words = []
    if pd.notna(line["sequence_length"]) and (pd.isna(line["role"]) or whole["sequence_length"].nunique() > 1):
        batch = f"{wording.number(line['batch_size'])}×" if pd.notna(line["batch_size"]) else "length "
        words.append(f"{batch}{wording.number(line['sequence_length'])}")
    for name, said in (("form", ""), ("dtype", ""), ("width", "width "), ("layers", "layers "), ("heads", "heads ")):
        if pd.notna(line[name]) and (whole.groupby("label")[name].nunique() > 1).any():
            words.append(f"{said}{line[name]}")
    if pd.notna(line["role"]):
        rate = line["learning_rate"]
        words.append(f"seed {line['seed']}" if pd.isna(rate) else f"learning rate {wording.number(rate)}")
    return " ".join(words)


def _at(sizes: list[str]) -> str:
    more = [f"{len(sizes) - MOST} more"] if len(sizes) > MOST else []
    return f" at {wording.listed([*sizes[:MOST], *more])}" if any(sizes) else ""
