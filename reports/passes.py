"""How much training a result is of: optimiser steps, and passes over the text, which small texts and budgets decide."""

from typing import Any

import pandas as pd

from reports import plurals, wording


def steps(points: pd.DataFrame) -> pd.Series:
    """Of every row the optimiser steps of its training; missing where it does not say all of its sizes."""
    tokens = (points["training_batch_size"] * points["training_sequence_length"]).astype(float)
    return points["training_tokens"].astype(float) / tokens


def told(result_set: Any, points: pd.DataFrame) -> str:
    """'244 steps, 4.2 passes over 1.88M bytes' of these rows; without passes where the text's size is not known."""
    sizes = points["corpus_sha256"].map(getattr(result_set, "training_bytes", {})).astype(float)
    passes = points["training_tokens"].astype(float) / sizes
    parts = [counted(steps(points))]
    if passes.notna().any():
        texts = wording.listed([f"{wording.short(size)} bytes" for size in sorted(set(sizes.dropna()))], "or")
        parts.append(f"{_ends(passes.map(lambda value: float(f'{value:.2g}')))} passes over {texts}")
    return ", ".join(filter(None, parts))


def counted(found: pd.Series) -> str:
    """'244 steps', or '230 to 250 steps'; empty where no row says how many."""
    ends = _ends(found.round())
    return f"{ends} {plurals.plural(1 if ends == '1' else 2, 'step')}" if ends else ""


def _ends(values: pd.Series) -> str:
    """The one value, or the lowest and the highest; empty where there is none."""
    known = values.dropna()
    return " to ".join(dict.fromkeys(wording.number(end) for end in (known.min(), known.max()))) if len(known) else ""
