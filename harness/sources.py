"""Which sources compute a point, and a hash of them: results of other code are never taken for results of this one."""

import ast
import functools
import pathlib

from harness.child import ROOT
from harness.point import digest

LEFT_OUT = (
    *("harness.errors", "harness.measures"),  # they name things and compute nothing
    *("harness.corpus", "harness.splits"),  # of what they read the hash stands in the configuration, and is held to it
)


@functools.cache
def code_hash(model: str, measure: str) -> str:
    """16 hex digits over the model, the measure, what starts them, and all of this project that these import."""
    return digest(computing(model, measure))


def computing(model: str, measure: str) -> dict[str, str]:
    """Those modules by name, each as its syntax tree, so that comments, docstrings and line breaks do not count."""
    seen: dict[str, str] = {}
    waiting = [f"models.{model}", f"harness.measures.{measure}", "harness.child"]
    while waiting:
        name = waiting.pop()
        path = _path(name)
        if name in seen or path is None:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        seen[name] = ast.dump(_bare(tree))
        waiting += [found for found in _imports(tree) if found not in LEFT_OUT]
    return seen


def _bare(tree: ast.AST) -> ast.AST:
    """Takes the docstrings out of a tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            del node.body[: ast.get_docstring(node, clean=False) is not None]
    return tree


def _imports(tree: ast.AST) -> list[str]:
    """Every module that a file may import, wherever in it; `from a import b` may mean the module a.b."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def _path(module: str) -> pathlib.Path | None:
    """The file of a module of this project, or of a package within `models` or `harness`; None for all others."""
    place = ROOT.joinpath(*module.split("."))
    files = (path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file())
    return next(files, None) if module.startswith(("models.", "harness.")) else None
