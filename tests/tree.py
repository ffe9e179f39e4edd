"""What the project's files say, without importing them: for the tests that hold the house rules."""

import ast
import dataclasses
import functools
import pathlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
ROOMS = ("models", "harness", "reports", "tests")


@functools.cache
def project() -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def normal(requirement: str) -> str:
    """The package that a requirement or a pin names, as the index compares names."""
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~;\[ ]", requirement.strip())[0]).lower()


def python(room: str = "") -> list[pathlib.Path]:
    """The Python files of one room, or of all."""
    found = [path for name in ((room,) if room else ROOMS) for path in (ROOT / name).rglob("*.py")]
    return sorted(found + ([] if room else list(ROOT.glob("*.py"))))


def tracked() -> list[pathlib.Path]:
    """Every file that git keeps or would keep, a reader's own results left out; outside a checkout, every file that no
    tool made."""
    asked = ["git", "ls-files", "-z"]
    new = ["--others", "--exclude-standard", "--", ".", ":!results", ":!reports/*.html"]
    try:
        ran = [subprocess.run(each, cwd=ROOT, capture_output=True, check=True) for each in (asked, [*asked, *new])]
        found = [ROOT / name for each in ran for name in each.stdout.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        made = re.compile(r"^\.(?!ci|github|gitignore|pre-commit)|^build$|__pycache__|\.egg-info$")
        inside = [path for path in ROOT.rglob("*") if path.is_file()]
        found = [path for path in inside if not any(made.search(part) for part in path.relative_to(ROOT).parts)]
    return sorted(path for path in found if path.is_file())


def name(path: pathlib.Path) -> str:
    """A path as a test is named after it."""
    return path.relative_to(ROOT).as_posix()


def module(path: pathlib.Path) -> str:
    """The dotted name under which a file is imported."""
    return name(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@functools.cache
def tree(path: pathlib.Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@dataclasses.dataclass(frozen=True)
class Import:
    """One module that a file imports."""

    module: str  # 'models._lm', also where the file says 'from models import _lm'
    line: int
    at_once: bool  # when the file is imported, rather than in a function or for the type checker alone

    @property
    def room(self) -> str:
        return self.module.partition(".")[0]


def imports(path: pathlib.Path) -> list[Import]:
    """What a file imports, wherever in the file it does so."""
    return list(_imports(tree(path), module(path), True))


def _imports(node: ast.AST, inside: str, at_once: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, at_once) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            start = ".".join(inside.split(".")[: -child.level]) + "." if child.level else ""
            for alias in child.names:
                whole = f"{start}{child.module or ''}".strip(".")
                ours = whole.partition(".")[0] in ROOMS and _is_file(f"{whole}.{alias.name}")
                yield Import(f"{whole}.{alias.name}" if ours else whole, child.lineno, at_once)
        else:
            later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _is_for_types(child)
            yield from _imports(child, inside, at_once and not later)


def _is_file(dotted: str) -> bool:
    path = ROOT / dotted.replace(".", "/")
    return path.with_suffix(".py").exists() or path.is_dir()


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def needed_at_once(path: pathlib.Path) -> set[str]:
    """Every module that importing this file brings in, through the project's own files."""
    found: set[str] = set()
    waiting = [path]
    while waiting:
        for each in imports(waiting.pop()):
            if each.at_once and each.module not in found:
                found.add(each.module)
                waiting += [ours for ours in _files_of(each.module) if each.room in ROOMS]
    return found


def _files_of(dotted: str) -> list[pathlib.Path]:
    """The files that run when a module of the project is imported: its packages', then its own."""
    parts = dotted.split(".")
    packages = [ROOT.joinpath(*parts[: i + 1], "__init__.py") for i in range(len(parts))]
    return [path for path in (*packages, ROOT.joinpath(*parts).with_suffix(".py")) if path.exists()]


def standard(room: str) -> bool:
    """Whether a module comes with Python."""
    return room in sys.stdlib_module_names
