"""The architectures: one file each, found by listing this folder. Importing this module loads no torch.

A file whose name starts with an underscore is shared by several architectures and is none itself. Every other file
holds one class named `Model` (see `models._lm.LanguageModel` for what it must state).
"""

import ast
import functools
import importlib
import pathlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models._lm import LanguageModel

FOLDER = pathlib.Path(__file__).parent
STATED = ("title", "colour", "marker", "citation", "forms", "default_form")  # as literals, by every architecture


def names() -> list[str]:
    """The architectures there are, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def load(name: str) -> "type[LanguageModel]":
    """The `Model` class of one architecture. Raises KeyError, naming what there is, for an unknown name."""
    if name not in names():
        raise KeyError(f"no model {name!r}; there are {', '.join(names())}")
    return importlib.import_module(f"models.{name}").Model


@functools.cache
def card(name: str) -> dict[str, Any]:
    """The literal class attributes of one architecture (`title`, `colour`, `marker`, `citation`, `forms`, ...).

    Read from the source text, so that listing models and drawing reports need no torch. Raises ValueError where the
    file holds no such class, and SyntaxError where it is no Python.
    """
    tree = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"), f"{name}.py")
    body = next((node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Model"), None)
    if body is None:
        raise ValueError("there is no class Model in it")
    found: dict[str, Any] = {}
    for node in body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if isinstance(target, ast.Name):
            try:
                found[target.id] = ast.literal_eval(node.value)
            except ValueError:  # not a literal: nothing that can be told without importing it
                continue
    return found
