"""Quality beyond the training length: bits per byte at the longest length that was evaluated over those at the training
length."""

from collections.abc import Iterable

import pandas as pd

from reports.claims import Finding, _evidence

TIMES, LOSS = 4, 0.02
RULE = (
    f"Bits per byte at the longest evaluation length, at least {TIMES} times the training length, over that at the "
    f"training length, seed by seed with at least {_evidence.SEEDS} seeds that have both: "
)


def judge(told: pd.DataFrame) -> Finding | None:
    """Whether one entry keeps its quality; None where it was not evaluated beyond its training length."""
    if told.empty or told["length"].max() < TIMES * told["training_sequence_length"].iloc[0]:
        return None
    trained, longest = told["training_sequence_length"].iloc[0], told["length"].max()
    wide = told.pivot_table(index="seed", columns="length", values="value").reindex(columns=[trained, longest])
    both = wide.dropna()
    if both.empty:
        return None
    table = told.rename(columns={"label": "series", "value": "bits_per_byte"})
    table = table[["series", "seed", "length", "bits_per_byte", "point"]]
    changes = both[longest] / both[trained] - 1
    return _evidence.over_seeds(f"{lengths(told)}:", changes, LOSS, table)


def lengths(told: pd.DataFrame) -> str:
    """'At length 8192 against 512'."""
    return f"At length {told['length'].max()} against {told['training_sequence_length'].iloc[0]}"


def change(found: Finding) -> str:
    """'-0.81%', of a finding of `judge`."""
    return found.short.partition(" ")[0]


def spread(found: Iterable[Finding]) -> str:
    """The least and the most of several changes: '-0.94% to +0.06%'."""
    told = sorted({change(each) for each in found}, key=lambda one: float(one.rstrip("%")))
    return " to ".join(dict.fromkeys([told[0], told[-1]]))
