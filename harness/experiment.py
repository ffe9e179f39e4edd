"""An experiment: from a file in `experiments/` to a checked value, and back to a file beside its results."""

import pathlib
from typing import TYPE_CHECKING, Any

import pydantic
import yaml

import models
from harness import checks, measures, misfits, option_checks, plugins
from harness.document import Dumper, Path, read
from harness.errors import UserError, nearest, refuse, shown
from harness.schema import Settings

if TYPE_CHECKING:
    from harness.splits import Corpus


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
    name = pathlib.Path(path).stem
    if name.startswith("."):
        told = f"the folder of its results would be called {shown(name)}, and a name is not to begin with a dot"
        raise UserError(f"{path}: {told}; rename it to a word such as decode.yaml")
    plugins.check_named("model", dict.fromkeys(name for _, name, _ in option_checks.entries(document.data)))
    plugins.check_named("measure", dict.fromkeys(option_checks.measures_named(document.data)))
    problems = option_checks.of_options(document)
    try:
        settings = Settings.model_validate(document.data)
    except pydantic.ValidationError as error:
        refuse([*misfits.problems(error, Settings, document, instead=_instead), *problems])
        raise AssertionError("a validation error without a problem") from error
    problems += checks.together(settings, document, options_allowed=not problems)
    refuse(problems)
    return Experiment(**dict(settings), name=name, question=document.question)


def text(path: pathlib.Path, overrides: list[str], name: str | None, elsewhere: bool = True) -> "Corpus | None":
    """The experiment's text, which is read here for the first time; None where it has none, and where that is not in
    files here and what is `elsewhere` is not asked for. Raises UserError where it cannot be read."""
    from harness import corpus

    try:
        return corpus.load(name) if name and (elsewhere or corpus.is_local(name)) else None
    except UserError as error:
        raise UserError(f"{read(path, overrides).place(('corpus',))}: corpus: {error}") from None


def _instead(path: Path, entry: Any) -> str:
    """What to write where an entry has no name, but one as a key or a key much like it; empty where neither is."""
    if path[-1] != "name" or not isinstance(entry, dict):
        return ""
    known = {"models": models.names, "measures": measures.names}.get(str(path[0]), list)()
    if found := next((key for key in entry if key in known), None):
        return f"write {{name: {found}, ...}}"
    near = nearest("name", entry)
    return f"is it what {near!r} is meant to be?" if near else ""
