"""What the command line prints in tables: the plan of an experiment, and what the folders hold."""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

import models
from harness import document, measures, plugins
from harness.errors import CLOSED, UserError, relative, unknown
from harness.experiment import Experiment
from harness.point import Point
from harness.quantity import tell_bytes, tell_count, tell_seconds

FACTORS = {  # of a point, and what their columns are called
    "measure": "measure",
    "label": "model",
    "form": "form",
    "batch_size": "batch",
    "sequence_length": "length",
    "dtype": "dtype",
    "seed": "seed",
}
NOT_APPLICABLE = "not applicable: "
WIDE = 150  # characters, where the output is no terminal and COLUMNS says nothing


class Terminal(Console):
    """A console that ends the command where nobody reads it any more, with the exit code of one that SIGPIPE ends."""

    def on_broken_pipe(self) -> None:
        self.quiet = True  # what is closed on the way out tells nobody
        raise SystemExit(CLOSED)


def console() -> Console:
    told = Terminal(markup=False, emoji=False, highlight=False)
    columns = os.environ.get("COLUMNS", "")
    if not told.is_terminal and not (columns.isdecimal() and int(columns)):
        told.width = WIDE
    return told


def table(title: str, *columns: str) -> Table:
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def rows(out: Console, title: str, columns: tuple[str, ...], cells: Iterable[tuple[str, ...]]) -> None:
    """A table; where it would break words a few lines per row instead, empty cells left out."""
    made, kept = table(title, *columns), list(cells)
    for row in kept:
        made.add_row(*row, style="dim" if any(cell.startswith(NOT_APPLICABLE) for cell in row) else None)
    if Measurement.get(out, out.options.update(max_width=10 * WIDE), made).minimum <= out.width:
        out.print(made, "")
        return
    names = [column.replace("\n", " ") for column in columns]
    told = (", ".join(f"{name} {cell}" for name, cell in zip(names, row, strict=True) if cell) for row in kept)
    out.print(f"{title}:", *(f"- {line}" for line in told), "", sep="\n")


def plan(experiment: Experiment, points: list[Point], seeds: Sequence[int]) -> None:
    """The points, the sizes that each model was given, and predictions of time and memory, training at `seeds`."""
    from harness import hardware, planned, predict
    from harness import plan as planning

    out = console()
    out.print(f"{experiment.name}: {experiment.question}\n")
    sizes = ("model", "width", "layers", "heads", "ffn width", "parameters", "of the budget")
    rows(out, "Sizes", sizes, dict.fromkeys(_sizes(point) for point in points))
    rows(out, "Points", (*FACTORS.values(), "trains", "seconds", "memory"), map(_planned, points))
    later = sum(map(predict.seconds, planning.further(seeds, points)))
    seconds = tell_seconds(sum(map(predict.seconds, points)) + later)
    out.print(f"{planned.counted(seeds, points)}; roughly {seconds} in all{_of_that(later)}.", soft_wrap=True)
    described = ", ".join(sorted({hardware.here(point.device).title for point in points}))
    out.print(f"Times and memory are predictions for: {described}. `python -m harness predict` tells what bounds them.")


def _of_that(later: float) -> str:
    return f", {tell_seconds(later)} of that for further seeds, which the table leaves out" if later else ""


def _planned(point: Point) -> tuple[str, ...]:
    from harness import predict

    told = [getattr(point, name) for name in FACTORS]
    cells = ["" if value is None else str(value) for value in told]
    if point.not_applicable:
        return (*cells, "", "", f"{NOT_APPLICABLE}{point.not_applicable}")
    return (*cells, _trains(point), f"{predict.seconds(point):.1f}", tell_bytes(predict.memory_bytes(point)))


def _sizes(point: Point) -> tuple[str, ...]:
    share = ""
    if point.parameters and point.parameters_target:
        share = f"{point.parameters / point.parameters_target - 1:+.2%}"
    numbers = (point.width, point.layers, point.heads, point.ffn_width)
    return (point.label, *map(str, numbers), tell_count(point.parameters) if point.parameters else "-", share)


def _trains(point: Point) -> str:
    training = point.training
    if training is None:
        return ""
    budgets = ((training.tokens, "tokens"), (training.flops, "FLOP"), (training.seconds, "s"))
    budget = next(f"{tell_count(value)} {unit}" for value, unit in budgets if value is not None)
    return f"{budget} at {training.learning_rate:g}"


def listing(kind: str) -> None:
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
        console().print(kinds[name](), "")


def _whole(kind: str) -> None:
    """Raises UserError where a file that is to be listed is not whole."""
    for one, names in (("model", models.names), ("measure", measures.names)):
        if kind in ("", f"{one}s"):
            plugins.check_named(one, names())
    if kind in ("", "figures") and (document.FOLDER.parent / "reports" / "figures").is_dir():
        plugins.check("figure")


def _models() -> Table:
    from harness import options

    made = table("Models", "name", "title", "forms", "options: default (allowed)")
    for name in models.names():
        card = models.card(name)
        known = options.of(name).values()
        told = "\n".join(f"{option.name}: {options.tell(option.default)} ({option.allowed})" for option in known)
        made.add_row(name, card["title"], "\n".join(card["forms"]), told)
    return made


def _measures() -> Table:
    made = table("Measures", "name", "metric", "unit", "meaning")
    for name in measures.names():
        for i, (metric, about) in enumerate(measures.load(name).metrics.items()):
            made.add_row("" if i else name, metric, about.unit, about.text)
    return made


def _experiments() -> Table:
    made = table("Experiments", "file", "question")
    for file in sorted(document.FOLDER.glob("*.yaml")):
        try:
            asked = document.question(file.read_text(encoding="utf-8"), str(file))
        except (UserError, OSError, UnicodeDecodeError):
            asked = "(not readable: see `python -m harness validate`)"
        made.add_row(str(relative(file)), asked)
    return made


def _figures() -> Table:
    made = table("Figures", "name", "question")
    titles: dict[str, Any] = {}
    if (document.FOLDER.parent / "reports" / "figures").is_dir():
        from reports import figures, packages

        titles = {name: figures.load(name).title for name in packages.names(figures)}
    for name, title in titles.items():
        made.add_row(name, title)
    return made


def _machines() -> Table:
    from harness import hardware

    made = table("Machines", "name", "title", "source")
    for name in hardware.names():
        made.add_row(name, hardware.load(name).title, hardware.load(name).source)
    return made
