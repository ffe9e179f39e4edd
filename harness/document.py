"""An experiment file as plain data, with the place of every key: what no schema can tell once YAML is read.

Numbers and words are those of YAML 1.2's core schema: 3e-4 is a number, `no` and `on` are words, and so is 010.
"""

import dataclasses
import difflib
import itertools
import pathlib
import re
from collections.abc import Callable
from typing import Any

import yaml

from harness.child import ROOT
from harness.errors import Problem, UserError, listed, named, refuse, relative, shown

Path = tuple[str | int, ...]  # of a key: ("models", 1, "gamma")
PLAIN = ("tag:yaml.org,2002:seq", "tag:yaml.org,2002:map")  # tags of lists and mappings
FOLDER = ROOT / "experiments"
MOST_VALUES = 10_000  # of a file, its aliases written out
OFTEN = ("<block end>", "mapping values are not allowed", "',' or", "expected ':'")  # in complaints of PyYAML's


@dataclasses.dataclass
class Document:
    """A file's data and where each part of it was written: 'file:line', or the flag that set it."""

    file: str
    question: str
    data: dict[str, Any]
    places: dict[Path, str]

    def place(self, path: Path) -> str:
        """Where a key stands; for one that is missing, where what should hold it stands."""
        while path not in self.places and path:
            path = path[:-1]
        return self.places.get(path, self.file)

    def problem(self, path: Path, text: str) -> Problem:
        return Problem(self.place(path), tell(path), text)


def tell(path: Path) -> str:
    """models[1].gamma"""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{named(part, 60)}" for part in path).lstrip(".")


class Loader(yaml.SafeLoader):
    """The safe loader with YAML 1.2's idea of numbers, booleans and null."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


class Dumper(yaml.SafeDumper):
    """The safe dumper, which also quotes words that are numbers to this loader alone, such as 3e-4."""


for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?(?:0|[1-9][0-9_]*)$", list("-+0123456789")),
    ("float", r"^[-+]?(?:\d[\d_]*\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?$", list("-+.0123456789")),
):
    for _side in (Loader, Dumper):
        _side.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def read(path: pathlib.Path, overrides: list[str] | None = None) -> Document:
    """Reads one file and applies `--set` overrides. Raises UserError that tells file, line and column."""
    held = text(path, "name one experiment file in it", _nearest_file)
    data, places = parse(held, str(path))
    if not isinstance(data, dict):
        told = "nothing" if data is None else shown(data)
        raise UserError(f"{path}:1: an experiment is a mapping such as 'models: [retnet]'; the file holds {told}")
    document = Document(str(path), question(held, str(path)), data, places)
    for override in overrides or []:
        _set(document, override)
    return document


def question(text: str, file: str) -> str:
    """The first line of the file, a comment. Raises UserError where there is none."""
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    asked = first.lstrip("#").strip()
    if not first.startswith("#") or not asked:
        fix = "write it there as a comment, such as '# Does decode latency stay flat as the context grows?'"
        raise UserError(f"{file}:1: the first line must state the experiment's question: {fix}")
    return asked


def parse(text: str, file: str, flag: str | None = None, below: Path = ()) -> tuple[Any, dict[Path, str]]:
    """YAML text as data, and the place of every key. Raises UserError where it does not parse or repeats a key.

    `flag` is where the text stands if it is no file, and `below` the key that it is the value of.
    """
    places: dict[Path, str] = {}
    problems: list[Problem] = []
    values = itertools.count(1)

    def build(node: yaml.Node, path: Path, above: tuple[yaml.Node, ...]) -> Any:
        place = flag or f"{file}:{node.start_mark.line + 1}"
        places.setdefault(path, place)
        if next(values) > MOST_VALUES:
            told = f"there are more than {MOST_VALUES:,} values, those of aliases such as *name as often as these stand"
            raise UserError(f"{place}: {told}; write out the few that are meant")
        if node in above:
            problems.append(Problem(place, tell(path), "this alias points to what holds it; write the value out"))
            return None
        if not isinstance(node, yaml.ScalarNode) and node.tag not in PLAIN:
            problems.append(Problem(place, tell(path), f"the tag {node.tag!r} is not allowed; remove it"))
        if isinstance(node, yaml.SequenceNode):
            return [build(item, (*path, i), (*above, node)) for i, item in enumerate(node.value)]
        if not isinstance(node, yaml.MappingNode):
            try:
                return _scalar(loader, node)
            except ValueError as error:
                return problems.append(Problem(place, tell(path), str(error)))
        found: dict[str, Any] = {}
        for key_node, value in node.value:
            here = flag or f"{file}:{key_node.start_mark.line + 1}"
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode) or not isinstance(key, str):
                problems.append(Problem(here, tell(path), "a key must be a word, not a list or a mapping"))
                continue
            if key in found:
                first = places[*path, key]
                problems.append(Problem(here, tell((*path, key)), f"given twice, first at {first}; remove one"))
                continue
            places[*path, key] = here
            found[key] = build(value, (*path, key), (*above, node))
        return found

    try:
        loader = Loader(text)
        root = loader.get_single_node()
        data = build(root, below, ()) if root is not None else None
    except yaml.MarkedYAMLError as error:
        raise _invalid(error, file, flag) from None
    except RecursionError:
        raise UserError(f"{flag or file}: this is nested too deeply for an experiment") from None
    except yaml.reader.ReaderError as error:
        raise _unreadable(text, error.position, file, flag) from None
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{flag or file}: this is not valid YAML: {' '.join(str(error).split())}") from None
    refuse(problems)
    return data, places


def _invalid(error: yaml.MarkedYAMLError, file: str, flag: str | None) -> UserError:
    mark = error.problem_mark or error.context_mark
    place = flag or (f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file)
    told = "; ".join(part for part in (error.context, error.problem) if part)
    if mark and mark.buffer is not None and mark.buffer[mark.pointer : mark.pointer + 1] == "\t":
        told = "there is a tab here, and only spaces indent a line or part a key from its value; write spaces"
    elif any(sign in told for sign in OFTEN):
        told += "; is a line indented unlike those beside it, or a bracket left open?"
    return UserError(f"{place}: this is not valid YAML: {told}")


def _unreadable(text: str, at: int, file: str, flag: str | None) -> UserError:
    *above, line = text[:at].split("\n")
    place = flag or f"{file}:{len(above) + 1}:{len(line) + 1}"
    told = f"there is the character U+{ord(text[at]):04X} here, which no text holds; remove it"
    return UserError(f"{place}: this is not valid YAML: {told}")


def _scalar(loader: Loader, node: yaml.Node) -> Any:
    """A word or a number. Raises ValueError where it is not what its tag says."""
    try:
        return loader.construct_object(node)
    except yaml.YAMLError:
        raise
    except Exception:  # what a tag asks for raises of every kind
        kind = node.tag.rpartition(":")[2]
        fix = f"write another value, and no tag such as !!{kind}"
        raise ValueError(f"{shown(node.value)} cannot be read as {kind}; {fix}") from None


def text(path: pathlib.Path, fix: str, nearest: Callable[[pathlib.Path], str] = lambda path: "") -> str:
    """What a file holds. Raises UserError where it cannot be read: `fix` is that of a folder, `nearest` of no file."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{named(path)}: there is no such file{nearest(path)}") from None
    except IsADirectoryError:
        raise UserError(f"{path}: this is a folder; {fix}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: this is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"{named(path)}: cannot be read: {error.strerror}") from None


def _nearest_file(path: pathlib.Path) -> str:
    there = {file.stem: file for folder in (FOLDER, path.parent) for file in sorted(folder.glob("*.yaml"))}
    found = difflib.get_close_matches(path.stem, there, n=1, cutoff=0.55)
    if found:
        return f"; did you mean {relative(there[found[0]])}?"
    shipped = listed(sorted(file.name for file in FOLDER.glob("*.yaml")))
    return f"; in {relative(FOLDER)} there are {shipped}"


def _set(document: Document, override: str) -> None:
    """Applies one `--set key=value`: a dotted path, list positions as .1 or [1], the value in YAML."""
    flag = f"--set {named(override)}"
    key, equals, text = override.partition("=")
    parts = [part for part in re.split(r"[.\[\]]+", key.strip()) if part]
    if not equals or not parts:
        raise UserError(f"{flag}: write it as key=value, such as --set budget.parameters=10M")
    holder: Any = document.data
    path: Path = ()
    for part in parts[:-1]:
        step = _step(holder, part, path, flag)
        path = (*path, step)
        document.places.setdefault(path, flag)
        holder = holder.setdefault(step, {}) if isinstance(holder, dict) else holder[step]
    last = _step(holder, parts[-1], path, flag)
    path = (*path, last)
    holder[last], places = parse(text, document.file, flag, path)
    if holder[last] is None and text.strip().lower() not in ("null", "~"):
        raise UserError(f"{flag}: there is no value; to do without {tell(path)}, write --set {tell(path)}=null")
    kept = {known: place for known, place in document.places.items() if known[: len(path)] != path}
    document.places = kept | {path: flag} | places


def _step(holder: Any, part: str, path: Path, flag: str) -> str | int:
    if isinstance(holder, dict):
        return part
    where = tell(path)
    if not isinstance(holder, list):
        raise UserError(f"{flag}: {where} is {shown(holder)} and holds no keys; set {where} as a whole")
    if not part.isdecimal() or int(part) >= len(holder):
        allowed = f"0 to {len(holder) - 1}" if holder else "none, for it is empty"
        raise UserError(f"{flag}: {where} is a list; {part!r} is no position in it, allowed are {allowed}")
    return int(part)
