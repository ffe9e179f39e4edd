"""How much of the weights and of a state one program of a decode step holds: pinned, as `_kernels.plans` is.

Of one sequence alone, where every program asks for its weights before it waits for the one before. Small programs find
room beside those before them earlier, and their last ones leave less of the card idle; large ones read x and take its
norm less often. Which of this wins depends on all that stands in a layer, so rows are by architecture and width; one
whose options make layers of other sizes has a `layers_title` for each.

The rows were found on an H200 at 24 layers of 1.3B parameters, place by place, as `python -m harness.tune_steps` does;
it prints them anew for another card.
"""

import dataclasses
from typing import NamedTuple

HELD = 32768  # weights: 128 registers of each of 128 threads


class Portion(NamedTuple):
    """Numbers that a program holds at most, fewer where a multiprocessor would be left without; and whether the caches
    let go of them before others, since none of them is read again before as much as all caches hold has been."""

    most: int = HELD
    once: bool = False

    @property
    def policy(self) -> str:
        """Triton's word for it."""
        return "evict_first" if self.once else ""


WHOLE, ONCE, STATE = Portion(), Portion(once=True), Portion(8192)


@dataclasses.dataclass(frozen=True)
class Portions:
    """Of the weights of what reads x and what writes to it: `into` and `out` of the mixer, `up` and `down` of the
    feed-forward; and of retention's state."""

    into: Portion = WHOLE
    out: Portion = WHOLE
    up: Portion = WHOLE
    down: Portion = WHOLE
    state: Portion = STATE


TABLE: dict[tuple[str, int], Portions] = {  # by layers_title and width
    ("RetNet", 2048): Portions(into=Portion(4096), up=Portion(16384), down=Portion(8192)),
    ("Transformer", 2048): Portions(into=Portion(8192, once=True), out=ONCE, up=ONCE, down=ONCE),
    ("Transformer, fewer key heads", 2048): Portions(
        into=Portion(4096), out=Portion(4096, once=True), up=Portion(8192, once=True), down=Portion(8192, once=True)
    ),
    ("Linear attention", 2048): Portions(into=Portion(8192), up=ONCE),
    ("RWKV-4", 2048): Portions(
        into=Portion(16384, once=True), out=Portion(4096, once=True), up=ONCE, down=Portion(16384, once=True)
    ),
    ("AFT", 2048): Portions(into=ONCE, out=Portion(8192, once=True), up=ONCE, down=ONCE),
}
DEFAULT = Portions()


def portions(layers_title: str, width: int) -> Portions:
    """The row of a model's `layers_title` and a width; as much as registers hold where there is none."""
    return TABLE.get((layers_title, width), DEFAULT)
