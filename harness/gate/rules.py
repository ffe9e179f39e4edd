"""How a gate judges where nothing else is asked for: the defaults of the command line, which loads nothing to know."""

import dataclasses

FEWEST = 5  # pairs that anything may be decided on


@dataclasses.dataclass(frozen=True)
class Rules:
    """`limit` is the slowdown that is let pass, 0.1 for 10%; `pairs` come first and `most` is where asking ends."""

    limit: float = 0.10
    pairs: int = FEWEST
    most: int = 15
