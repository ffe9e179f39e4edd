"""An experiment: from a file in `experiments/` to a checked value, and back to a file beside its results."""

import pathlib
from typing import TYPE_CHECKING, Any

import pydantic
import yaml

import models
from harness import checks, measures, option_checks, plugins
from harness.document import Document, Dumper, read, tell
from harness.errors import Problem, UserError, named, nearest, refuse, shown, unknown
from harness.schema import Part, Settings

if TYPE_CHECKING:
    from harness.corpus import Corpus


class Experiment(Settings):
    """A checked experiment with the name of its file, without ending, and its question."""

    name: str
    question: str

    def dump(self) -> str:
        """The resolved experiment as a YAML file that loads to the same value."""
        told = self.model_dump(exclude={"name", "question"}, exclude_none=True)
        for entries in ("models", "measures"):
            told[entries] = [entry["name"] if len(entry) == 1 else entry for entry in told[entries]]
        told = {key: value for key, value in told.items() if value != {}}
        return f"# {self.question}\n" + yaml.dump(
            told, Dumper=Dumper, sort_keys=False, default_flow_style=None, width=120
        )


def load(path: pathlib.Path | str, overrides: list[str] | None = None) -> Experiment:
    """Reads, overrides and checks one experiment file. Raises UserError that tells every problem and its line."""
    document = read(pathlib.Path(path), overrides)
    plugins.check_named("model", dict.fromkeys(name for _, name, _ in option_checks.entries(document.data)))
    plugins.check_named("measure", dict.fromkeys(option_checks.measures_named(document.data)))
    problems = option_checks.of_options(document)
    try:
        settings = Settings.model_validate(document.data)
    except pydantic.ValidationError as error:
        refuse([*(_problem(told, document) for told in error.errors()), *problems])
        raise AssertionError("a validation error without a problem") from error
    problems += checks.together(settings, document, options_allowed=not problems)
    refuse(problems)
    return Experiment(**dict(settings), name=pathlib.Path(path).stem, question=document.question)


def text(path: pathlib.Path, overrides: list[str], name: str) -> "Corpus":
    """The experiment's text, which is read here for the first time. Raises UserError where it cannot be."""
    from harness import corpus

    try:
        return corpus.load(name)
    except UserError as error:
        raise UserError(f"{read(path, overrides).place(('corpus',))}: corpus: {error}") from None


def _problem(error: Any, document: Document) -> Problem:
    """A pydantic error in the house's words."""
    path, kind, given = error["loc"], error["type"], shown(error["input"])
    while len(path) > 1 and path not in document.places and kind not in ("missing", "extra_forbidden"):
        path = path[:-1]  # what a validator wrapped into a list or a mapping
    part = _part(path[:-1]) if kind in ("missing", "extra_forbidden") else _part(path)
    allowed, above = list(part.model_fields) if part else [], tell(path[:-1]) or "the file"
    text = {
        "value_error": lambda: str(error["ctx"]["error"]),
        "extra_forbidden": lambda: unknown("key", path[-1], allowed),
        "missing": lambda: f"it is missing; {_instead(path, error['input']) or f'add it to {above}'}",
        "list_type": lambda: f"{given} is not a list; write it as {_as_list(error['input'])}",
        "bool_type": lambda: f"{given} is not allowed; allowed is true or false",
        "string_type": lambda: f"{given} is not text; put it in quotes if it is a name",
        "string_too_short": lambda: "the text is empty; give a name",
        "too_short": lambda: f"{given} has too few values; allowed are exactly {error['ctx']['min_length']}",
        "too_long": lambda: f"{given} has too many values; allowed are exactly {error['ctx']['max_length']}",
        "model_type": lambda: f"{given} is not a mapping; its keys are {', '.join(allowed)}",
    }.get(kind, lambda: f"{error['msg']}; {given} was given")()
    return Problem(document.place(path), tell(path), text)


def _instead(path: tuple[Any, ...], entry: Any) -> str:
    """What to write where an entry has no name, but one as a key or a key much like it; empty where neither is."""
    if path[-1] != "name" or not isinstance(entry, dict):
        return ""
    known = {"models": models.names, "measures": measures.names}.get(path[0], list)()
    if found := next((key for key in entry if key in known), None):
        return f"write {{name: {found}, ...}}"
    near = nearest("name", entry)
    return f"is it what {near!r} is meant to be?" if near else ""


def _as_list(given: Any) -> str:
    if isinstance(given, dict) and "name" in given:
        return f"[{{name: {named(given['name'], 60)}, ...}}]"
    return f"[{named(given, 60)}]" if isinstance(given, str | int | float) else "[a, b]"


def _part(path: tuple[Any, ...]) -> type[Part] | None:
    """The schema of the mapping at a key path."""
    found: Any = Settings
    for key in path:
        if not isinstance(key, str) or not hasattr(found, "model_fields") or key not in found.model_fields:
            continue
        found = _inner(found.model_fields[key].annotation)
    return found if isinstance(found, type) and issubclass(found, Part) else None


def _inner(annotation: Any) -> Any:
    """The schema inside an annotation such as `Budget | None` or a list of annotated entries."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return annotation
    inside = (_inner(part) for part in getattr(annotation, "__args__", ()))
    return next((part for part in inside if part), None)
