"""`python -m harness list`: what the folders hold, the models with their options."""

from collections.abc import Callable
from typing import Any

from rich.table import Table

import models
from harness import document, measures, plugins, terminal
from harness.errors import UserError, relative, unknown


def tell(kind: str) -> None:
    """What there is of one kind, or of every kind. Raises UserError for a kind that there is not."""
    kinds: dict[str, Callable[[], Table]] = {
        "models": _models,
        "measures": _measures,
        "experiments": _experiments,
        "figures": _figures,
        "machines": _machines,
    }
    if kind and kind not in kinds:
        raise UserError(unknown("kind", kind, kinds))
    _whole(kind)
    for name in [kind] if kind else kinds:
        terminal.console().print(kinds[name](), "")


def _whole(kind: str) -> None:
    """Raises UserError where a file that is to be listed is not whole."""
    for one, names in (("model", models.names), ("measure", measures.names)):
        if kind in ("", f"{one}s"):
            plugins.check_named(one, names())
    if kind in ("", "figures") and (document.FOLDER.parent / "reports" / "figures").is_dir():
        plugins.check("figure")


def _models() -> Table:
    from harness import options

    made = terminal.table("Models", "name", "title", "forms", "options: default (allowed)")
    for name in models.names():
        card = models.card(name)
        known = options.of(name).values()
        told = "\n".join(f"{option.name}: {options.tell(option.default)} ({option.allowed})" for option in known)
        made.add_row(name, card["title"], "\n".join(card["forms"]), told)
    return made


def _measures() -> Table:
    made = terminal.table("Measures", "name", "metric", "unit", "meaning")
    for name in measures.names():
        for i, (metric, about) in enumerate(measures.load(name).metrics.items()):
            made.add_row("" if i else name, metric, about.unit, about.text)
    return made


def _experiments() -> Table:
    made = terminal.table("Experiments", "file", "question")
    for file in sorted(document.FOLDER.glob("*.yaml")):
        try:
            asked = document.question(file.read_text(encoding="utf-8"), str(file))
        except (UserError, OSError, UnicodeDecodeError):
            asked = "(not readable: see `python -m harness validate`)"
        made.add_row(str(relative(file)), asked)
    return made


def _figures() -> Table:
    made = terminal.table("Figures", "name", "question")
    titles: dict[str, Any] = {}
    if (document.FOLDER.parent / "reports" / "figures").is_dir():
        from reports import figures, packages

        titles = {name: figures.load(name).title for name in packages.names(figures)}
    for name, title in titles.items():
        made.add_row(name, title)
    return made


def _machines() -> Table:
    from harness import hardware

    made = terminal.table("Machines", "name", "title", "source")
    for name in hardware.names():
        made.add_row(name, hardware.load(name).title, hardware.load(name).source)
    return made
