"""The default corpus: the documentation that every Python carries, so that a run needs no download.

Two kinds of documents: the language reference's topics (`help("FORMATTING")`), and of each module of the standard
library what its sources say of themselves, signatures and docstrings in the order of the file. The sources are parsed,
never run. A docstring that occurs twice counts once. Another version of Python has other documents.
"""

import ast
import inspect
import pathlib
import sysconfig
import warnings
from collections.abc import Iterator

LEFT_OUT = ("site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__")
Documented = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def folder() -> pathlib.Path:
    """Where this Python keeps the sources of its standard library."""
    return pathlib.Path(sysconfig.get_path("stdlib"))


def documents() -> list[bytes]:
    """Every document, in an order that depends on the sources alone."""
    seen: set[str] = set()
    found = [*_topics(), *(_module(path, seen) for path in _sources())]
    return [text.encode("utf-8", "replace") for text in found if text]


def _topics() -> list[str]:
    try:
        from pydoc_data.topics import topics
    except ImportError:  # some distributions leave it out
        return []
    return [topics[name].strip() for name in sorted(topics)]


def _sources() -> list[pathlib.Path]:
    root = folder()
    return sorted(path for path in root.rglob("*.py") if not set(path.relative_to(root).parts) & set(LEFT_OUT))


def _module(path: pathlib.Path, seen: set[str]) -> str:
    """What one file says of itself; empty where that is nothing. Adds its docstrings to `seen`."""
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):  # a few files of the library are broken on purpose
        return ""
    parts = []
    for heading, docstring in _docstrings(tree, ""):
        text = inspect.cleandoc(docstring)
        if text and text not in seen:
            seen.add(text)
            parts.append(f"{heading}\n{text}" if heading else text)
    return "\n\n".join(parts)


def _docstrings(node: ast.Module | Documented, within: str) -> Iterator[tuple[str, str]]:
    """(signature, docstring) of a node and of all that is defined in it."""
    heading, name = "", within
    if isinstance(node, Documented):
        name = f"{within}.{node.name}".lstrip(".")
        heading = _signature(node, name)
    docstring = ast.get_docstring(node, clean=False)
    if docstring:
        yield heading, docstring
    for child in node.body:
        if isinstance(child, Documented):
            yield from _docstrings(child, name)


def _signature(node: Documented, name: str) -> str:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {name}({bases})" if bases else f"class {name}"
    return f"{name}({ast.unparse(node.args)})"
