"""From an experiment to its points: the grid, projected onto what each measure depends on, models interleaved.

An entry is a model with every option fixed. A built entry also has its sizes, solved for from the budget. Of the axes
of a measure's grid the entry turns fastest, so that a machine that drifts drifts for all of them alike.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator
from typing import Any

import models
from harness import budget, checks, measures, options
from harness.errors import UserError, listed
from harness.experiment import Experiment
from harness.point import SEQUENCE_FACTORS, Point, Training
from harness.schema import ITEM_BYTES, MeasureEntry
from models._cost import Shape

TUNED_BY = "tuning_bits_per_byte"  # the metric that chooses among trials
FORMS = "forms"  # the measure that every entry must pass before another one is believed
MOST_POINTS = 20_000


@dataclasses.dataclass(frozen=True)
class Entry:
    """A model with every option fixed: one line of every figure."""

    model: str
    options: dict[str, Any]
    label: str


@dataclasses.dataclass(frozen=True)
class Built:
    """An entry with its sizes, or the reason why it has none that fit."""

    entry: Entry
    shape: Shape
    parameters: int | None
    reason: str | None = None

    @property
    def chosen(self) -> Any:
        return options.build(self.entry.model, self.entry.options)

    @property
    def forms(self) -> tuple[str, ...]:
        return models.load(self.entry.model).available_forms(self.chosen)


def points(experiment: Experiment, device: str, corpus_sha256: str | None = None) -> list[Point]:
    """Every point that can be told before anything ran: each entry's `forms` first, then measure by measure.

    Of a measure that trains, these are the trials that tune the learning rate; `chosen` gives the rest. Measures that
    do not train run at the first seed alone: their repeats stand for their noise. On a GPU the `forms` are compared in
    every number format that something is measured in. What cannot be combined is a point with a reason. Raises
    UserError where the grid is absurdly large.
    """
    built = [[_build(experiment, entry, sizes) for entry in entries(experiment)] for sizes in checks.shapes(experiment)]
    checked = [entry for entry in experiment.measures if entry.name == FORMS] or [MeasureEntry(name=FORMS)]
    others = [entry for entry in experiment.measures if entry.name != FORMS]
    given = [*(checked if FORMS in measures.names() else []), *others]
    most = sum(math.prod(map(len, _axes(experiment, device, entry))) * len(built) * len(built[0]) for entry in given)
    if most > MOST_POINTS:
        raise UserError(f"{experiment.name}: {most:,} points, more than {MOST_POINTS:,}; sweep fewer values")
    found: dict[str, Point] = {}
    for entry in given:
        for row in built:
            for point in _grid(experiment, device, entry, row):
                point = dataclasses.replace(point, corpus_sha256=corpus_sha256 if point.corpus else None)
                found.setdefault(point.configuration, point)
    first = {each.entry.model: each for each in reversed(built[0])}
    missing = [_lacking(experiment, device, first[model], option) for model, option in lacks(experiment)]
    return [*found.values(), *missing]


def entries(experiment: Experiment) -> list[Entry]:
    """The models, each with its swept options multiplied out; labels tell entries of one model apart."""
    pairs: list[tuple[str, dict[str, Any]]] = []
    for given in experiment.models:
        swept = {name: v for name, v in experiment.sweep.options.items() if name in options.of(given.name)}
        for values in itertools.product(*swept.values()):
            resolved = options.resolve(given.name, {**given.options, **dict(zip(swept, values, strict=True))})
            if (given.name, resolved) not in pairs:
                pairs.append((given.name, resolved))
    return [Entry(model, chosen, _label(model, chosen, [o for m, o in pairs if m == model])) for model, chosen in pairs]


def lacks(experiment: Experiment) -> list[tuple[str, str]]:
    """(model, swept option that it does not have), once per model."""
    named = dict.fromkeys(given.name for given in experiment.models)
    return [(name, option) for name in named for option in experiment.sweep.options if option not in options.of(name)]


def chosen(seeds: Iterable[int], trials: Iterable[tuple[Point, float | None]]) -> list[Point]:
    """The other ones of `seeds` for each entry that trained, at the rate of its best trial.

    `trials` pairs each trial with its bits per byte on the tuning split, None where it failed. An entry all of whose
    trials failed has no further points. The best trial itself stands for the first seed.
    """
    best: dict[str, tuple[float, Point]] = {}
    for point, bits in trials:
        if point.role != "trial" or point.training is None or bits is None:
            continue
        any_rate = dataclasses.replace(point, training=dataclasses.replace(point.training, learning_rate=0.0))
        if bits < best.get(any_rate.configuration, (float("inf"), point))[0]:
            best[any_rate.configuration] = bits, point
    winners = [point for _, point in best.values()]
    return [dataclasses.replace(p, seed=seed, role="chosen") for seed in seeds for p in winners if seed != p.seed]


def further(seeds: Iterable[int], points: Iterable[Point]) -> list[Point]:
    """As many as `chosen` will give, before a trial has run: which rate wins changes neither how many nor how long."""
    return chosen(seeds, [(point, 0.0) for point in points])


def _label(model: str, chosen: dict[str, Any], siblings: list[dict[str, Any]]) -> str:
    apart = [name for name in chosen if any(other[name] != chosen[name] for other in siblings)]
    return " ".join([model, *(f"{name}={options.tell(chosen[name])}" for name in apart)])


def _build(experiment: Experiment, entry: Entry, sizes: tuple[int, int, int]) -> Built:
    kind, options_built = models.load(entry.model), options.build(entry.model, entry.options)
    shape = checks.sized(entry.model, sizes, options_built, experiment)
    try:
        kind.check(shape, options_built)
        if experiment.budget:
            shape = budget.solve(kind, shape, options_built, experiment.budget.parameters)
            kind.check(shape, options_built)
        return Built(entry, shape, kind.parameters_count(shape, options_built))
    except ValueError as error:
        return Built(entry, shape, None, str(error))


def _axes(experiment: Experiment, device: str, given: MeasureEntry) -> list[list[Any]]:
    """The values of each of SEQUENCE_FACTORS, and of the learning rate, that a measure turns through."""
    measure, axes = measures.load(given.name), []
    for name in SEQUENCE_FACTORS:
        if name == "dtype" and device in measures.stated(measure, "every_dtype_on"):
            axes.append(_dtypes(experiment, given.name))
        else:
            axes.append(_values(experiment, given, name))
    return [*axes, experiment.training.learning_rate if measure.trains and experiment.training else [None]]


def _values(experiment: Experiment, given: MeasureEntry, factor: str) -> list[Any]:
    default = [experiment.dtype if factor == "dtype" else None]
    own = getattr(given, factor) or getattr(experiment.sweep, factor) or default
    return own if factor in measures.load(given.name).factors else default


def _dtypes(experiment: Experiment, but: str) -> list[str]:
    """In which anything is computed by the experiment's measures but one."""
    others = [entry for entry in experiment.measures if entry.name != but]
    found = [dtype for entry in others for dtype in _values(experiment, entry, "dtype")]
    if experiment.training and experiment.training.autocast and any(measures.load(e.name).trains for e in others):
        found.append("bfloat16")
    return list(dict.fromkeys(found)) or [experiment.dtype]


def _grid(experiment: Experiment, device: str, given: MeasureEntry, row: list[Built]) -> Iterator[Point]:
    measure = measures.load(given.name)
    training = experiment.training if measure.trains else None
    for *values, rate, built in itertools.product(*_axes(experiment, device, given), row):
        factors = dict(zip(SEQUENCE_FACTORS, values, strict=True))
        if "form" in measure.factors and factors["form"] is None:
            factors["form"] = _default_form(measure, built)
        point = _point(experiment, device, given.name, built, factors)
        if training and rate is not None:
            told = training.model_dump() | {"learning_rate": rate, "betas": tuple(training.betas)}
            point = dataclasses.replace(point, training=Training(**told), role="trial")
        yield point


def _default_form(measure: measures.Measure, built: Built) -> str:
    """The one the model trains in; a token that is decoded is computed by the recurrence."""
    if checks.decoded(measure) and "recurrent" in built.forms:
        return "recurrent"
    return models.load(built.entry.model).training_form(built.chosen)


def _point(experiment: Experiment, device: str, name: str, built: Built, factors: dict[str, Any]) -> Point:
    measure, kind, form = measures.load(name), models.load(built.entry.model), factors["form"]
    reason, told = built.reason, {}
    if reason is None and form is not None and form not in built.forms:
        reason = f"{kind.title} has no form {form!r} with these options; it has {listed(built.forms)}"
        factors = {**factors, "batch_size": None, "sequence_length": None}  # told once, not once per size
    if reason is None:
        told = _costs(experiment, measure, built, factors)
    return Point(
        experiment=experiment.name,
        measure=name,
        model=built.entry.model,
        label=built.entry.label,
        options=built.entry.options,
        **dataclasses.asdict(built.shape),
        device=device,
        seed=experiment.seeds[0],
        repeats=experiment.repeats,
        precision=experiment.precision,
        **factors,
        corpus=experiment.corpus if measure.reads_corpus else None,
        parameters=built.parameters,
        parameters_target=experiment.budget.parameters if experiment.budget else None,
        **told,
        limit_seconds=experiment.limits.seconds,
        limit_bytes=experiment.limits.memory,
        not_applicable=reason,
    )


def _costs(experiment: Experiment, measure: measures.Measure, built: Built, factors: dict[str, Any]) -> dict[str, Any]:
    """FLOPs per token of the forward pass and bytes of the state, where the factors say enough."""
    kind, shape, chosen = models.load(built.entry.model), built.shape, built.chosen
    batch, length = factors["batch_size"], factors["sequence_length"]
    told: dict[str, Any] = {}
    if measure.trains and experiment.training:
        length = length or experiment.training.sequence_length
    form = factors["form"] or _default_form(measure, built)
    if length and checks.decoded(measure):
        told["flops_per_token"] = float(kind.flops(shape, chosen, form, 1, context=length))
    elif length:
        told["flops_per_token"] = kind.flops(shape, chosen, form, length) / length
    if batch and length:
        told["state_bytes"] = kind.state_bytes(shape, chosen, batch, length, ITEM_BYTES[factors["dtype"]])
    return told


def _lacking(experiment: Experiment, device: str, built: Built, option: str) -> Point:
    """The row that says that a model does not have a swept option."""
    entry, values = built.entry, listed(options.tell(value) for value in experiment.sweep.options[option])
    reason = f"{entry.model} has no option {option!r} (swept: {values}); it runs without it"
    marked = dataclasses.replace(entry, options={**entry.options, option: None})  # for an id of its own
    factors = {**dict.fromkeys(SEQUENCE_FACTORS), "dtype": experiment.dtype}
    return _point(experiment, device, experiment.measures[0].name, Built(marked, built.shape, None, reason), factors)
