"""`python -m harness run --dry-run`: the points of an experiment, their sizes and what they may cost."""

from collections.abc import Sequence

from harness import terminal
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


def tell(experiment: Experiment, points: list[Point], seeds: Sequence[int]) -> None:
    """The points, the sizes that each model was given, and predictions of time and memory, training at `seeds`."""
    from harness import hardware, planned, predict
    from harness import plan as planning

    out = terminal.console()
    out.print(f"{experiment.name}: {experiment.question}\n")
    sizes = ("model", "width", "layers", "heads", "ffn width", "parameters", "of the budget")
    terminal.rows(out, "Sizes", sizes, dict.fromkeys(_sizes(point) for point in points))
    terminal.rows(out, "Points", (*FACTORS.values(), "trains", "seconds", "memory"), map(_planned, points))
    later = sum(map(predict.seconds, planning.further(seeds, points)))
    seconds = tell_seconds(sum(map(predict.seconds, points)) + later)
    out.print(f"{planned.counted(seeds, points)}; roughly {seconds} in all{_of_that(later)}.", soft_wrap=True)
    described = ", ".join(sorted({hardware.here(point.device).title for point in points}))
    out.print(f"Times and memory are predictions for: {described}. `python -m harness predict` tells what bounds them.")
    for here in sorted({hardware.another(point.device) for point in points} - {""}):
        own = "`python -m harness predict --machine measured` takes its rates"
        out.print(f"What is here is another one, {here}: {own}.")


def _of_that(later: float) -> str:
    return f", {tell_seconds(later)} of that for further seeds, which the table leaves out" if later else ""


def _planned(point: Point) -> tuple[str, ...]:
    from harness import predict

    told = [getattr(point, name) for name in FACTORS]
    cells = ["" if value is None else str(value) for value in told]
    if point.not_applicable:
        return (*cells, "", "", f"{terminal.NOT_APPLICABLE}{point.not_applicable}")
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
