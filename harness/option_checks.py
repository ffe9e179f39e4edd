"""The models' options in an experiment, fixed and swept, as far as its raw data can be read. Problems are told."""

from collections.abc import Iterator
from typing import Any

import models
from harness import measures, options
from harness.document import Document, Path
from harness.errors import Problem, shown, unknown
from harness.point import SEQUENCE_FACTORS, SHAPE_FACTORS

Told = Iterator[tuple[Path, str]]
FACTORS = (*SEQUENCE_FACTORS, *SHAPE_FACTORS)


def of_options(document: Document) -> list[Problem]:
    """All problems of all options."""
    return [document.problem(path, text) for path, text in (*_fixed(document.data), *_swept(document.data))]


def measures_named(data: dict[str, Any]) -> list[str]:
    """The measures that the raw data names, of those that there are."""
    given = data.get("measures")
    listed = given if isinstance(given, list) else []
    names = [entry.get("name") if isinstance(entry, dict) else entry for entry in listed]
    return [name for name in names if isinstance(name, str) and name in measures.names()]


def entries(data: dict[str, Any]) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Position, name and options of the raw model entries that can be read."""
    given = data.get("models")
    for i, entry in enumerate(given if isinstance(given, list) else []):
        held = {"name": entry} if isinstance(entry, str) else entry
        if isinstance(held, dict) and held.get("name") in models.names():
            yield i, held["name"], {key: value for key, value in held.items() if key != "name"}


def _fixed(data: dict[str, Any]) -> Told:
    for i, name, given in entries(data):
        known = options.of(name)
        for key, value in given.items():
            if key not in known:
                yield ("models", i, key), unknown(f"option of {name}", key, known)
            elif text := _refused(known[key], value):
                yield ("models", i, key), text


def _swept(data: dict[str, Any]) -> Told:
    there = list(entries(data))
    sweep = data.get("sweep")
    if not isinstance(sweep, dict) or len(there) != len(data["models"] if isinstance(data.get("models"), list) else []):
        return  # the schema tells
    all_options = sorted({key for _, name, _ in there for key in options.of(name)})
    for key, values in sweep.items():
        if key in FACTORS:
            continue
        owners = [(i, name, given) for i, name, given in there if key in options.of(name)]
        if key in ("seed", "seeds"):
            yield ("sweep", key), f"seeds are swept by a key of their own; write seeds: {_as_list(values)} at the top"
        elif not owners:
            yield ("sweep", key), unknown("factor or option", key, [*FACTORS, *all_options])
        for i, _, given in owners:
            if key in given:
                yield ("models", i, key), f"{key} is swept as well; fix it here or sweep it, not both"
        values = values if isinstance(values, list) else [values]
        if not values:
            yield ("sweep", key), "the list is empty; give at least one value"
        for j, value in enumerate(values):
            if value in values[:j]:
                yield ("sweep", key, j), f"{value!r} is given twice; remove one"
            elif owners and (text := _refused(options.of(owners[0][1])[key], value)):
                yield ("sweep", key, j), text


def _as_list(given: Any) -> str:
    return shown(given if isinstance(given, list) else [given])


def _refused(option: options.Option, value: Any) -> str | None:
    try:
        option.value(value)
    except ValueError as error:
        return str(error)
    return None
