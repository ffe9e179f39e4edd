"""Sizes for well known parameter counts: width, depth and heads as published, the feed-forward width solved for.

1.3B, 2.7B and 6.7B are those of the RetNet paper (arXiv:2307.08621, Table 2), which has heads of 256 at every size;
125M, 350M and 13B have GPT-3's depth and width (arXiv:2005.14165, Table 2.1), 30B and 65B LLaMA's (arXiv:2302.13971,
Table 2), all with heads of 256 here too. Heads of another size change the state of retention and of linear attention.
"""

import dataclasses
from typing import Any

import models
from harness import budget, options
from harness.errors import UserError, listed, unknown
from harness.quantity import tell_count
from models._cost import Shape

PUBLISHED = {  # parameters: layers, width, heads
    125_000_000: (12, 768, 3),
    350_000_000: (24, 1024, 4),
    1_300_000_000: (24, 2048, 8),
    2_700_000_000: (32, 2560, 10),
    6_700_000_000: (32, 4096, 16),
    13_000_000_000: (40, 5120, 20),
    30_000_000_000: (60, 6656, 26),
    65_000_000_000: (80, 8192, 32),
}
NEAR = 0.1  # of a published count, within which its depth and width serve
HEAD_SIZE = 256
VOCABULARY = 32_000  # LLaMA's


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the command line gives; None where it gives nothing."""

    parameters: int | None = None
    layers: int | None = None
    width: int | None = None
    heads: int | None = None
    vocabulary: int = VOCABULARY
    max_length: int = 2048


def shape(asked: Asked, model: str, chosen: Any) -> Shape:
    """The model's shape. Raises UserError where too little is given, or where no feed-forward width meets the count."""
    layers, width, heads = _sizes(asked)
    kind = models.load(model)
    made = Shape(width, layers, heads, kind.default_ffn_width(width, chosen), asked.vocabulary, asked.max_length)
    try:
        kind.check(made, chosen)
        return budget.solve(kind, made, chosen, asked.parameters) if asked.parameters else made
    except ValueError as error:
        raise UserError(f"{model}: {error}") from None


def _sizes(asked: Asked) -> tuple[int, int, int]:
    known = ", ".join(map(tell_count, PUBLISHED))
    layers, width, heads = asked.layers, asked.width, asked.heads
    if layers is None or width is None:
        wanted = asked.parameters
        if wanted is None:
            raise UserError(f"no size is given; give --parameters, such as one of {known}, or --layers and --width")
        nearest = min(PUBLISHED, key=lambda count: abs(count - wanted))
        if abs(nearest / wanted - 1) > NEAR:
            told = f"--parameters {tell_count(wanted)}: there is no published size near it"
            raise UserError(f"{told}; allowed are {known}, or give --layers and --width as well")
        table = PUBLISHED[nearest]
        heads = heads or (table[2] if width is None else None)
        layers, width = layers or table[0], width or table[1]
    return layers, width, heads or max(1, width // HEAD_SIZE)


def resolve(model: str, given: dict[str, Any]) -> Any:
    """The model's options, those of `given` that it has. Raises UserError for a value that is not allowed."""
    known = options.of(model)
    own = {}
    for name in [name for name in given if name in known]:
        try:
            own[name] = known[name].value(given[name])
        except ValueError as error:
            raise UserError(f"--set {name}: {model}: {error}") from None
    return options.build(model, own)


def check_options(names: list[str], given: dict[str, Any]) -> None:
    """Raises UserError for an option that none of the models has."""
    all_options = sorted({option for name in names for option in options.of(name)})
    for key in given:
        if key not in all_options:
            raise UserError(f"--set {key}: {unknown(f'option of {listed(names)}', key, all_options)}")
