"""How much of the weights and of a state one program of a decode step holds: pinned, as `_kernels.plans` is.

Of one sequence alone, where every program asks for its weights before it waits for the one before. Small programs find
room beside those before them earlier, and their last ones leave less of the card idle; large ones read x and take its
norm less often. Which of this wins depends on all that stands in a layer, so rows are by architecture and width; one
whose options make layers of other sizes has a `layers_title` for each.

The rows were found on an H200 at 24 layers of 1.3B parameters, place by place, as `python -m harness.tune_steps` does;
it prints them anew for another card.
"""

import dataclasses

HELD = 32768  # weights: 128 registers of each of 128 threads


@dataclasses.dataclass(frozen=True)
class Portions:
    """Weights that a program holds at most of what reads x and what writes to it: `into` and `out` of the mixer, `up`
    and `down` of the feed-forward; and numbers of retention's state."""

    into: int = HELD
    out: int = HELD
    up: int = HELD
    down: int = HELD
    state: int = 8192


TABLE: dict[tuple[str, int], Portions] = {  # by layers_title and width
    ("RetNet", 2048): Portions(into=4096, up=16384, down=8192),
    ("Transformer", 2048): Portions(into=8192),
    ("Transformer, fewer key heads", 2048): Portions(into=4096, out=4096, up=8192, down=8192),
    ("Linear attention", 2048): Portions(into=8192),
    ("RWKV-4", 2048): Portions(into=16384, out=4096, down=16384),
    ("AFT", 2048): Portions(out=8192),
}
DEFAULT = Portions()


def portions(layers_title: str, width: int) -> Portions:
    """The row of a model's `layers_title` and a width; as much as registers hold where there is none."""
    return TABLE.get((layers_title, width), DEFAULT)
