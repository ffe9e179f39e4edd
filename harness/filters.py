"""What `--only key=value` keeps of an experiment's points."""

from collections.abc import Iterable, Sequence

from harness import quantity
from harness.errors import UserError, listed, named, unknown
from harness.plan import FORMS
from harness.point import Point

KEYS = ("model", "measure", "label", "form", "batch_size", "sequence_length", "dtype", "width", "layers", "seed")
SEEDLESS = "; what does not train runs at the first seed alone"
OF_ENTRIES = ("model", "label", "width", "layers")  # those that choose entries and not single points


def only(found: list[Point], filters: Iterable[str], seeds: Sequence[int] = ()) -> list[Point]:
    """The points that all filters keep; values of one key add up. The `forms` of what is kept stay.

    So do the trials that tune a learning rate, whichever of the experiment's `seeds` is kept: the others need their
    best. Raises UserError for a key that is none, a value that no point has, and where nothing is left.
    """
    wanted: dict[str, set[str]] = {}
    for text in filters:
        key, value = _pair(text)
        if key == "seed" and not seeds:
            raise UserError(f"--only {named(text)}: a seed can be chosen of an experiment that is run; leave it out")
        there = sorted({getattr(point, key) for point in found} - {None}) if key != "seed" else sorted(seeds)
        meant = quantity.plain(value) if all(isinstance(each, int) for each in there) else value
        if meant not in map(str, there):
            raise UserError(f"--only {named(text)}: {unknown(key, value, map(str, there))}")
        wanted.setdefault(key, set()).add(meant)

    def keeps(point: Point) -> bool:
        keys = set(wanted) & set(OF_ENTRIES) if point.measure == FORMS else set(wanted)
        keys -= {"seed"} if getattr(point, "role", None) == "trial" else set()
        return all(str(getattr(point, key)) in wanted[key] for key in keys)

    kept = [point for point in found if keeps(point)]
    asked_forms = FORMS in wanted.get("measure", {FORMS} if set(wanted) <= set(OF_ENTRIES) else set())
    if wanted and all(point.measure == FORMS for point in kept) and not asked_forms:
        raise UserError(
            f"--only {listed(map(named, filters))}: no point has all of these{SEEDLESS if 'seed' in wanted else ''}"
        )
    return kept


def seeds(given: Sequence[int], filters: Iterable[str]) -> list[int]:
    """Those of an experiment's seeds that the filters keep; all of them where no filter names one."""
    kept = {quantity.plain(value) for key, value in map(_pair, filters) if key == "seed"}
    return [seed for seed in given if not kept or str(seed) in kept]


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or key not in KEYS:
        told = unknown("filter", key, KEYS) if equals else "write it as key=value, such as --only model=retnet"
        raise UserError(f"--only {named(text)}: {told}")
    return key, value
