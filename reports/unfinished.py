"""Result sets that are to be in the triangle and lack a corner: how far they are, in words, and what goes on there."""

from collections.abc import Iterable
from typing import Any

from reports import corners, plurals, provenance, rows, unrun, wording
from reports.corner import ALL, BY_NAME


def left(result_sets: Iterable[Any]) -> list[dict[str, Any]]:
    """A line for each that is left out, and the commands that go on there: none where every planned point has a row.

    They are of the triangle's own experiments where there are results of one, else of any that are to have all three
    measures.
    """
    given = list(result_sets)
    ours = [one for one in given if one.experiment in corners.EXPERIMENTS] or list(filter(_planned, given))
    return [_line(one, gaps) for one in ours if (gaps := corners.lacking(one))]


def _planned(one: Any) -> bool:
    """Whether all three measures are planned, or have rows where no plan was kept."""
    tables = [table for table in (one.points, getattr(one, "planned", None)) if table is not None and len(table)]
    return {each.measure for each in ALL} <= {str(name) for table in tables for name in table["measure"]}


def _line(one: Any, gaps: list[str]) -> dict[str, Any]:
    has, planned = unrun.there(one)
    lacking = [BY_NAME[name] for name in gaps]
    lacks = wording.listed([f"no {each.title.lower()} ({_so_far(one, each.measure)})" for each in lacking])
    told = f"{_of(has, planned, 'point')} {'has' if (planned or has) == 1 else 'have'} a row, and there is {lacks} yet."
    more = planned is None or has < planned
    own = [f"python -m harness run experiments/{one.experiment}.yaml"]
    commands = ["make run", *own] if one.experiment == corners.EXPERIMENTS[0] else own
    return {
        "experiment": one.experiment,
        "name": provenance.device_name(one),
        "text": told,
        "commands": commands if more else [],
    }


def _so_far(one: Any, measure: str) -> str:
    """Such as: 4 of 45 points of language, 1 ok and 3 failed."""
    has, planned = unrun.there(one, measure)
    points = rows.current(one.points)
    count = points.loc[points["measure"] == measure, "status"].value_counts()
    ended = [f"{count[status]} {words}" for status, words in rows.STATUS_TEXT.items() if status in count]
    return ", ".join([f"{_of(has, planned, 'point')} of {measure}", *([wording.listed(ended)] if ended else [])])


def _of(has: int, planned: int | None, noun: str) -> str:
    return plurals.counted(has, noun) if planned is None else f"{has} of {plurals.counted(planned, noun)}"
