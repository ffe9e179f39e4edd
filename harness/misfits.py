"""What a schema refuses of a file, told as the house tells mistakes: what was given, what is allowed, and the fix.

A field whose values need a fix of its own has it as its `description`.
"""

from collections.abc import Callable
from typing import Any

import pydantic

from harness.document import Document, Path, tell
from harness.errors import Problem, listed, named, shown, unknown

Schema = type[pydantic.BaseModel]
Instead = Callable[[Path, Any], str]  # what to write in place of a key that is missing; empty where nothing is alike


def problems(
    refused: pydantic.ValidationError,
    schema: Schema,
    document: Document,
    at: Path = (),
    instead: Instead = lambda path, given: "",
) -> list[Problem]:
    """What is wrong with the mapping that stands at a key path of a file."""
    return [_problem(error, schema, document, at, instead) for error in refused.errors()]


def _problem(error: Any, schema: Schema, document: Document, at: Path, instead: Instead) -> Problem:
    path, kind, value = (*at, *error["loc"]), error["type"], error["input"]
    while len(path) > len(at) + 1 and path not in document.places and kind not in ("missing", "extra_forbidden"):
        path = path[:-1]  # what a validator wrapped into a list or a mapping
    own, limits, given = path[len(at) :], error.get("ctx", {}), shown(value)
    holder = _part(schema, own[:-1])
    keys = holder.model_fields if holder else {}
    field = keys.get(str(own[-1])) if own else None
    fix, optional = (field.description, not field.is_required()) if field else (None, False)
    empty = f"it is empty; {fix or 'give a value' + (', or remove it' if optional else '')}"
    text = {
        "value_error": lambda: str(limits["error"]),
        "extra_forbidden": lambda: unknown("key", path[-1], keys),
        "missing": lambda: f"it is missing; {fix or instead(path, value) or f'add it to {_told(path[:-1])}'}",
        "list_type": lambda: f"{given} is not a list; {fix or f'write it as {_as_list(value)}'}",
        "dict_type": lambda: f"{given} is not a mapping; {fix or 'write it as {name: value}'}",
        "model_type": lambda: f"{given} is not a mapping; its keys are {_keys(schema, own)}",
        "bool_type": lambda: f"{given} is not allowed; allowed is true or false",
        "float_type": lambda: f"{given} is not a number; {fix or 'write it as 1.2'}",
        "string_type": lambda: empty if value is None else f"{given} is not text; {fix or _as_text(value)}",
        "string_too_short": lambda: empty,
        "greater_than_equal": lambda: f"{given} is out of range; allowed is {limits['ge']:,} or more",
    }.get(kind, lambda: f"{error['msg']}; {given} was given")()
    return Problem(document.place(path), tell(path), text)


def _told(path: Path) -> str:
    return tell(path) or "the file"


def _as_text(given: Any) -> str:
    return "write a name" if isinstance(given, list | dict) else "put it in quotes if it is a name"


def _as_list(given: Any) -> str:
    if isinstance(given, dict) and "name" in given:
        return f"[{{name: {named(given['name'], 60)}, ...}}]"
    return f"[{named(given, 60)}]" if given and isinstance(given, str | int | float) else "[a, b]"


def _keys(schema: Schema, path: Path) -> str:
    part = _part(schema, path)
    return listed(part.model_fields if part else ())


def _part(schema: Schema, path: Path) -> Schema | None:
    """The schema of the mapping at a key path."""
    found: Any = schema
    for key in path:
        if isinstance(key, str) and key in getattr(found, "model_fields", ()):
            found = _inner(found.model_fields[key].annotation)
    return found


def _inner(annotation: Any) -> Schema | None:
    """The schema inside an annotation such as `Budget | None` or a list of annotated entries."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return annotation
    inside = (_inner(part) for part in getattr(annotation, "__args__", ()))
    return next((part for part in inside if part), None)
