"""What is said before points run: that none can, that memory or time will not do, that training reads its text too
often, that models are nearly all feed-forward, that something else computes."""

from collections.abc import Iterable

import psutil

from harness import budget, corpus, predict
from harness.errors import UserError, first, listed
from harness.plan import FORMS
from harness.point import Point
from harness.quantity import tell_bytes, tell_seconds
from models._cost import Shape
from reports import plurals

Sized = tuple[float, Point]  # bytes that a point is predicted to need, or seconds
MOST_REASONS = 6
BUSY_SHARE, LOOK_SECONDS = 0.25, 0.3  # of all cores, worth a line before a run; `doctor` is stricter
USUAL = (0.5, 32)  # times the width, between which a feed-forward width is passed over in silence; 2 to 4 is common
MOST_PASSES = 4.0  # that are worth about as much as new text: Muennighoff et al. 2023, arXiv:2305.16264


def refuse_nothing(found: list[Point], place: str) -> None:
    """Raises UserError with the reasons where no point could be run, or nothing but the comparison of forms."""
    wanted = [point for point in found if point.measure != FORMS] or found
    reasons = dict.fromkeys(f"{point.label}: {point.not_applicable}" for point in wanted)
    if all(point.not_applicable for point in wanted):
        told = [f"  {reason}" for reason in first(list(reasons), MOST_REASONS, "reason")]
        none = f"none of its {len(wanted)} points can" if len(wanted) > 1 else "its one point cannot"
        raise UserError("\n".join([f"{place}: {none} be run:", *told]))


def warnings(points: list[Point], name: str | None, training_bytes: int | None) -> list[str]:
    """Lines on points that may not fit here, or in what the experiment allows, and those that `anywhere` gives."""
    told = (of_memory(points), of_limits(points), of_time(points))
    return [*filter(None, told), *anywhere(points, name, training_bytes)]


def anywhere(points: list[Point], name: str | None, training_bytes: int | None = None) -> list[str]:
    """Lines on what no machine changes: sizes without sense, and text of known size that is read too often."""
    size = training_bytes or (corpus.training_bytes(name) if name else None)
    shapes = ((point.label, point.shape) for point in points if not point.not_applicable)
    found = (of_shapes(shapes), of_passes(points, size) if size else None)
    return [told for told in found if told]


def of_shapes(shapes: Iterable[tuple[str, Shape]]) -> str | None:
    """A line for where models, labels and `shapes`, are nearly all feed-forward or nearly without: hardly what is
    meant by their names, though they have the parameters that were asked for."""
    shares = {label: shape.ffn_width / shape.width for label, shape in shapes}
    least, most = USUAL
    odd = [f"{label} {share:,.3g} times" for label, share in shares.items() if not least <= share <= most]
    if not odd:
        return None
    fixes = ["more parameters, or less depth or width"] if min(shares.values()) < least else []
    fixes += ["fewer parameters, or more depth or width"] if max(shares.values()) > most else []
    return (
        f"warning: feed-forward widths are far from the usual 2 to 4 times the width: {listed(odd)}; for models as "
        f"they are in use give {' and where they are too wide '.join(fixes)}"
    )


def of_load() -> str | None:
    """A line for where something else computes now. Times of such a machine are not wrong by the same for all."""
    busy = psutil.cpu_percent(interval=LOOK_SECONDS) / 100
    if busy <= BUSY_SHARE:
        return None
    return (
        f"warning: something else keeps {busy:.0%} of this machine's cores busy: times will be longer, some more than "
        "others; `python -m harness doctor` names what computes"
    )


def trained_tokens(point: Point) -> float | None:
    """Tokens that the point's training pays for; None where it trains on no text, or for a time."""
    training = point.training
    if training is None or point.corpus is None or point.not_applicable:
        return None
    if training.flops is not None:
        return training.flops / budget.flops_of(point, 1)
    return training.tokens


def of_passes(points: Iterable[Point], training_bytes: int) -> str | None:
    """A line for where some point reads its text more than `MOST_PASSES` times; a token is a byte."""
    most = max((told for point in points if (told := trained_tokens(point)) is not None), default=0.0)
    if most <= MOST_PASSES * training_bytes:
        return None
    return (
        f"warning: {most:,.0f} training tokens are {most / training_bytes:.1f} passes over {training_bytes:,} bytes of "
        f"text, which models then know by heart: name a larger corpus, or train on {MOST_PASSES * training_bytes:,.0f} "
        "tokens at most"
    )


def of_memory(points: Iterable[Point]) -> str | None:
    """A line for where points on the CPU are predicted to need more memory than this machine has."""
    there = psutil.virtual_memory().total
    large = [(size, point) for size, point in _sizes(points) if _outgrows_machine(size, point)]
    if not large:
        return None
    _, point = _largest(large)
    return (
        f"{_needing(large)} this machine's {tell_bytes(there)}, {_up_to(large)}: {_of_limit(point.limit_bytes, there)}"
    )


def of_limits(points: Iterable[Point]) -> str | None:
    """A line for where points are predicted to need more than the experiment's own limit. Those that `of_memory` tells
    of do not count."""
    sizes = [(size, point) for size, point in _sizes(points) if not _outgrows_machine(size, point)]
    large = [(size, point) for size, point in sizes if point.limit_bytes is not None and size > point.limit_bytes]
    if not large:
        return None
    limit = tell_bytes(_largest(large)[1].limit_bytes or 0)
    fix = "it stops what passes it; for numbers of them raise it, or sweep smaller sizes"
    return f"{_needing(large)} the {limit} of limits.memory, {_up_to(large)}: {fix}"


def of_time(points: Iterable[Point]) -> str | None:
    """A line for where points are predicted to be stopped by the experiment's limit before they have any number."""
    needed = [(predict.uncapped(point, least=True), point) for point in points]
    slow = [(time, point) for time, point in needed if point.limit_seconds is not None and time > point.limit_seconds]
    if not slow:
        return None
    (most, point), one = _largest(slow), len(slow) == 1
    fix = "raise it, or train on less" if point.training else "raise it, or sweep smaller sizes"
    return (
        f"warning: {plurals.being(len(slow), 'point')} predicted to take longer than the {point.limit_seconds:g} s of "
        f"limits.seconds, up to {tell_seconds(most)} ({point.measure} of {point.label}): "
        f"{'it will be a row' if one else 'they will be rows'} without a number; {fix}"
    )


def _sizes(points: Iterable[Point]) -> list[Sized]:
    return [(predict.memory_bytes(point), point) for point in points]


def _outgrows_machine(size: float, point: Point) -> bool:
    return point.device == "cpu" and size > psutil.virtual_memory().total


def _largest(large: list[Sized]) -> Sized:
    return max(large, key=lambda pair: pair[0])


def _needing(large: list[Sized]) -> str:
    return f"warning: {plurals.being(len(large), 'point')} predicted to need more than"


def _up_to(large: list[Sized]) -> str:
    most, point = _largest(large)
    return f"up to {tell_bytes(most)} ({point.measure} of {point.label})"


def _of_limit(limit: int | None, there: int) -> str:
    """What is to be done about points that memory will not do for."""
    if limit is None:
        return "sweep smaller sizes, or set limits.memory to have them stopped in time"
    if limit < there:
        return f"limits.memory stops what passes {tell_bytes(limit)}; for numbers of them sweep smaller sizes"
    told = f"sweep smaller sizes, or lower limits.memory from {tell_bytes(limit)}"
    return f"{told} to less than there is, to have them stopped in time"
