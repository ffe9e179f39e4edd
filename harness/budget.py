"""What a comparison holds equal: the parameters, through the feed-forward width, and the cost of training.

Letters: F feed-forward width, P parameters.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

import models
from harness import options
from harness.quantity import tell_count
from models._cost import Shape

if TYPE_CHECKING:
    from harness.point import Point
    from models._lm import LanguageModel

MULTIPLES = (64, 32, 16, 8, 4, 2)  # widths that machines like, as long as the budget is met within
CLOSE = 0.005
MOST = 0.01  # the mismatch beyond which a model does not take part


class OverBudget(ValueError):
    """No feed-forward width brings the model's parameters within `MOST` of the target; the text says why."""


def solve(kind: "type[LanguageModel]", shape: Shape, chosen: Any, target: int) -> Shape:
    """The shape whose F makes P meet `target`: the first of `MULTIPLES` whose P is `CLOSE`, else the nearest whole F.

    P is linear in F for every architecture; the mismatch is nevertheless taken from the model's own count. Raises
    OverBudget where no F comes within `MOST`, as where a table over positions alone is larger than the target.
    """

    def parameters(ffn_width: int) -> int:
        return kind.parameters_count(dataclasses.replace(shape, ffn_width=ffn_width), chosen)

    def mismatch(ffn_width: int) -> float:
        return abs(parameters(ffn_width) / target - 1)

    least = parameters(1)
    slope = parameters(2) - least
    exact = (target - least) / slope + 1 if slope else 0.0
    for multiple in MULTIPLES:
        ffn_width = round(exact / multiple) * multiple
        if ffn_width >= 1 and mismatch(ffn_width) <= CLOSE:
            return dataclasses.replace(shape, ffn_width=ffn_width)
    ffn_width = max(round(exact), 1)
    if mismatch(ffn_width) <= MOST:
        return dataclasses.replace(shape, ffn_width=ffn_width)
    raise OverBudget(
        f"no feed-forward width gives {tell_count(target)} parameters within {MOST:.0%}: with a width of {ffn_width} "
        f"there are {tell_count(parameters(ffn_width))}, and one more unit is worth {tell_count(slope)}"
    )


def training_flops(
    kind: "type[LanguageModel]", shape: Shape, chosen: Any, form: str, sequence_length: int, tokens: int
) -> float:
    """FLOPs, forward and backward, that training on `tokens` in sequences of `sequence_length` needs."""
    return kind.needed_flops(shape, chosen, form, sequence_length, backward=True) / sequence_length * tokens


def flops_of(point: "Point", tokens: int) -> float:
    """FLOPs, forward and backward, that a point's training has spent on `tokens`."""
    kind, chosen, training = models.load(point.model), options.build(point.model, point.options), point.training
    assert training is not None, "only of a point that trains"
    form = point.form or kind.training_form(chosen)
    return training_flops(kind, point.shape, chosen, form, training.sequence_length, tokens)
