"""What an experiment's keys must satisfy together, beyond what each may be alone. Problems are told, none is raised."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import models
from harness import measures, options
from harness.document import Document, Path
from harness.errors import Problem, listed, unknown
from harness.point import SEQUENCE_FACTORS, SHAPE_FACTORS
from models._cost import Shape

if TYPE_CHECKING:
    from harness.schema import Settings

Told = Iterator[tuple[Path, str]]
SHORTEST = 128  # tokens that every model can take, whatever is swept, and that a point without a length stands for


def together(settings: "Settings", document: Document, options_allowed: bool) -> list[Problem]:
    """Problems between keys of settings that passed their schema; of the models as well once all else is right."""
    found = [*_sizes(settings), *_measures(settings), *_corpus(settings), *_training(settings), *_forms(settings)]
    if options_allowed and not found:
        found = [*_twice(settings, document), *_models(settings)]
    return [document.problem(path, text) for path, text in found]


def _sizes(settings: "Settings") -> Told:
    shape, sweep = settings.shape, settings.sweep
    for name in SHAPE_FACTORS:
        fixed, swept = getattr(shape, name), getattr(sweep, name)
        if fixed is None and swept is None:
            yield ("shape", name), f"it is missing; add {name} to shape, or a list of values to sweep"
        if fixed is not None and swept is not None:
            yield ("sweep", name), f"{name} is given under shape as well; remove one of them"
    if sweep.dtype and "dtype" in settings.model_fields_set:
        yield ("sweep", "dtype"), "dtype is given at the top as well; remove one of them"
    if shape.max_length and shape.max_length < (needed := longest(settings)):
        yield ("shape", "max_length"), f"{shape.max_length} is too short; this experiment reads up to {needed} tokens"
    if settings.budget and shape.ffn_width:
        yield ("shape", "ffn_width"), "budget.parameters solves for it; remove one of them"
    widths, heads = sweep.width or [shape.width or 0], sweep.heads or [shape.heads or 0]
    if all(w and h and w % h for w, h in itertools.product(widths, heads)):
        where = ("shape", "heads") if shape.heads else ("sweep", "heads")
        allowed = listed(h for h in (1, 2, 4, 8, 16, 32) if widths[0] % h == 0)
        yield where, f"{listed(heads)} heads do not divide a width of {listed(widths)}; allowed are such as {allowed}"


def _measures(settings: "Settings") -> Told:
    read: set[str] = set()
    for i, entry in enumerate(settings.measures):
        factors = measures.load(entry.name).factors
        read.update(factors)
        for name in SEQUENCE_FACTORS:
            own = getattr(entry, name)
            if own is not None and name not in factors:
                yield ("measures", i, name), f"{entry.name} does not depend on {name}; {_instead('it', factors)}"
            needed = name in factors and name in ("batch_size", "sequence_length")
            if needed and own is None and getattr(settings.sweep, name) is None:
                yield ("measures", i), f"{entry.name} needs a {name}; add {name}: [...] to sweep, or to this measure"
        if measures.load(entry.name).trains and not settings.training:
            yield ("measures", i), f"{entry.name} trains; add training: {{tokens: 2M, sequence_length: 256, ...}}"
        if measures.load(entry.name).reads_corpus and not settings.corpus:
            yield ("measures", i), f"{entry.name} reads text; add corpus: python-docs, or a file, a folder, a hub id"
        if measures.load(entry.name).reads_corpus and settings.shape.vocabulary < 256:
            yield ("shape", "vocabulary"), f"{settings.shape.vocabulary} is too small; text is bytes, at least 256"
    for name in SEQUENCE_FACTORS:
        if getattr(settings.sweep, name) and name not in read:
            told = f"none of this experiment's measures depends on {name}; {_instead('they', sorted(read))}"
            yield ("sweep", name), told


def _instead(who: str, factors: Sequence[str]) -> str:
    """What a measure depends on where it is given a factor that it does not."""
    if factors:
        return f"{'it does' if who == 'it' else 'they do'} on {listed(factors)}"
    return f"{'it depends' if who == 'it' else 'they depend'} on no factor; remove this one"


def _corpus(settings: "Settings") -> Told:
    """Whether there is the text that is named, for a run loads it whatever reads it; it is not read here."""
    from harness import corpus

    if settings.corpus:
        yield from ((("corpus", *keys), text) for keys, text in corpus.refused(settings.corpus))


def _training(settings: "Settings") -> Told:
    training = settings.training
    if training is None:
        return
    budgets = {name: getattr(training, name) for name in ("tokens", "flops", "seconds")}
    given = [name for name, value in budgets.items() if value is not None]
    if len(given) != 1:
        told = f"{listed(given)} are given" if given else "no budget is given"
        yield ("training",), f"{told}; give exactly one of tokens, flops, seconds"
    if training.batch_size % training.accumulate:
        yield ("training", "accumulate"), f"{training.accumulate} does not divide a batch_size of {training.batch_size}"
    step = training.batch_size * training.sequence_length
    if training.tokens is not None and training.tokens < step:
        yield ("training", "tokens"), f"{training.tokens:,} is less than one step of {step:,}; allowed is at least that"
    limit = settings.limits.seconds
    if training.seconds is not None and limit is not None and training.seconds >= limit:
        yield ("training", "seconds"), f"{training.seconds:g} is not below limits.seconds, which is {limit:g}"


def _forms(settings: "Settings") -> Told:
    known = sorted({form for entry in settings.models for form in models.load(entry.name).forms})
    places: list[tuple[Path, list[str] | None]] = [(("sweep", "form"), settings.sweep.form)]
    places += [(("measures", i, "form"), entry.form) for i, entry in enumerate(settings.measures)]
    for path, forms in places:
        for j, form in enumerate(forms or []):
            if form not in known:
                yield (*path, j), unknown("form", form, known)


def _twice(settings: "Settings", document: Document) -> Told:
    """Entries that are the same, a model's defaults filled in."""
    resolved = [(entry.name, options.resolve(entry.name, entry.options)) for entry in settings.models]
    given: tuple[tuple[str, list[Any]], ...] = (("models", resolved), ("measures", settings.measures))
    for key, entries in given:
        for i, entry in enumerate(entries):
            if (first := entries.index(entry)) < i:
                where = document.place((key, first))
                yield (key, i), f"this is the same as {key}[{first}] ({where}); remove one of them"


def _models(settings: "Settings") -> Told:
    """What the models themselves say of the shape, once where several say the same of one size. Where shapes are swept,
    one that fits is enough."""
    of_sizes: dict[tuple[Path, str], list[str]] = {}
    for i, entry in enumerate(settings.models):
        if text := _unfit(settings, entry.name, entry.options):
            key = min((key for key in entry.options if key in text), key=text.find, default=None)
            size = next((name for name in SHAPE_FACTORS if text.startswith(name)), None)
            if size and not key:
                where = "shape" if getattr(settings.shape, size) else "sweep"
                of_sizes.setdefault(((where, size), text), []).append(entry.name)
            else:
                yield ("models", i, key) if key else ("models", i), f"{entry.name}: {text}"
            continue
        for key, values in settings.sweep.options.items():
            for j, value in enumerate(values if key in options.of(entry.name) else []):
                if text := _unfit(settings, entry.name, {**entry.options, key: value}):
                    yield ("sweep", key, j), f"{entry.name}: {text}"
    for (path, text), names in of_sizes.items():
        yield path, f"{listed(dict.fromkeys(names))}: {text}"


def _unfit(settings: "Settings", name: str, given: dict[str, Any]) -> str | None:
    text = None
    chosen = options.build(name, options.resolve(name, given))
    for shape in shapes(settings):
        try:
            models.load(name).check(sized(name, shape, chosen, settings), chosen)
        except ValueError as error:
            text = text or str(error)
        else:
            return None
    return text


def shapes(settings: "Settings") -> list[tuple[int, int, int]]:
    """Every combination of width, layers and heads."""
    axes = [getattr(settings.sweep, name) or [getattr(settings.shape, name)] for name in SHAPE_FACTORS]
    return [(width, layers, heads) for width, layers, heads in itertools.product(*axes)]


def sized(name: str, shape: tuple[int, int, int], chosen: Any, settings: "Settings") -> Shape:
    """The model's shape before a budget solves for the feed-forward width."""
    width, layers, heads = shape
    ffn_width = settings.shape.ffn_width or models.load(name).default_ffn_width(width, chosen)
    return Shape(
        width, layers, heads, ffn_width, settings.shape.vocabulary, settings.shape.max_length or longest(settings)
    )


def longest(settings: "Settings") -> int:
    """Tokens of the longest sequence that any point reads, decodes or trains on."""
    lengths = [SHORTEST]
    for entry in settings.measures:
        measure = measures.load(entry.name)
        if "sequence_length" in measure.factors:
            own = entry.sequence_length or settings.sweep.sequence_length or [0]
            lengths.append(max(own) + decoded(measure))
        if measure.trains and settings.training:
            lengths.append(settings.training.sequence_length)
    return max(lengths)


def decoded(measure: measures.Measure) -> int:
    """Tokens that the measure decodes one by one after a sequence; 0 for most."""
    return int(measures.stated(measure, "decoded_tokens"))
