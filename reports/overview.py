"""What the index says before its list: whom the results are about, and which model is best at each corner."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from reports import budget, corners, wording
from reports.corner import ALL, Corner

WHOLE = "Largest weakest corner"
NONE = "no other has a value"


def question(told: Iterable[Any]) -> str:
    """The models that the rows are of, by name, and what is asked of them."""
    models = sorted({str(model) for one in told for model in one.points["model"].dropna()})
    titles = sorted((wording.title(model, model) for model in models), key=str.casefold)
    if len(titles) == 1:
        return f"{titles[0]} under a stated budget: how fast does it train, how fast decode, how well predict?"
    names = wording.listed(titles) if titles else "Sequence models"
    return f"{names} under one stated budget: which trains fast, decodes cheaply and predicts well?"


def best(chosen: Iterable[Any]) -> list[dict[str, Any]]:
    """For each result set with several models and all three corners: a line per corner with the best and the next one,
    and where that was measured."""
    found = [(one, corners.measure(one)) for one in chosen]
    return [{"set": one, "lines": _lines(one, told)} for one, told in found if told is not None and not told.alone]


def _lines(result_set: Any, found: corners.Corners) -> list[list[str]]:
    lines, cautions = [], {"quality": [found.edges, budget.one(result_set).caution]}
    for one in ALL:
        told = [_valued(line, one) for line in _first(found.table, f"{one.name}_ratio")]
        if told:
            more = [found.caution([one.name]), *cautions.get(one.name, [])]
            lines.append([one.best, *_two(told), ". ".join([found.where[one.name].brief, *filter(None, more)])])
    whole = _first(found.table, "weakest")
    told = [f"{wording.title(line['series'], line['model'])}, {line['weakest']:.2f}" for line in whole]
    return [*lines, [WHOLE, *_two(told), "the three above"]] if told else lines


def _first(table: pd.DataFrame, column: str) -> list[dict[Any, Any]]:
    """The two lines with the largest values."""
    told = table.dropna(subset=column).sort_values([column, "series"], ascending=[False, True])
    return told.head(2).to_dict("records")


def _two(told: list[str]) -> list[str]:
    return [*told, NONE][:2]


def _valued(line: dict[Any, Any], one: Corner) -> str:
    value = wording.number(float(f"{line[one.value]:.4g}"))
    return f"{wording.title(line['series'], line['model'])}, {value} {one.unit} [{line[f'{one.name}_ratio']:.2f}]"
