"""How much of RetNet's lead over linear attention there is without a decay.

No experiment trains both models and RetNet without decay, so this sets two beside each other, where they were trained
alike: the same text and tokens, in the same batches, the same shape and budget, on one kind of device.
"""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from reports import language, wording

LINEAR, RETNET, WITHOUT = "linear_attention", "retnet", "retnet gamma=none"
TOKENS = "training_tokens"
ALIKE = [
    "corpus_sha256", TOKENS, "training_sequence_length", "training_batch_size", "width", "layers", "heads",
    "parameters_target", "dtype", "device",
]  # fmt: skip


def told(result_sets: Iterable[Any]) -> list[str]:
    """A sentence for each pair of experiments that tells it, of the largest models first."""
    by_size = sorted(result_sets, key=lambda one: one.points["parameters"].fillna(0).max(), reverse=True)
    means = [(one, _means(one), _trained(one)) for one in by_size]
    leads = [line for line in means if {LINEAR, RETNET} <= set(line[1])]
    bare = [line for line in means if WITHOUT in line[1]]
    return [
        f"{_size(trained)}: {_sentence(one.experiment, other.experiment, both[LINEAR], both[RETNET], alone[WITHOUT])}"
        for one, both, trained in leads
        for other, alone, alike in bare
        if len(trained) == 1 and trained.equals(alike)
    ]


def _means(one: Any) -> dict[str, float]:
    """Bits per byte of every label, over its seeds."""
    found = language.headline(one)
    return {str(label): part.mean() for label, part in found.groupby("label")["bits_per_byte"]} if len(found) else {}


def _trained(one: Any) -> pd.DataFrame:
    """How a result set's models were trained; several lines where not all alike."""
    points = language.results(one)
    return points[ALIKE].astype(str).drop_duplicates().reset_index(drop=True)


def _size(trained: pd.DataFrame) -> str:
    parameters, tokens = (wording.short(float(trained[name].iloc[0])) for name in ("parameters_target", TOKENS))
    return f"At {parameters} parameters and {tokens} tokens"


def _sentence(one: str, other: str, linear: float, retnet: float, without: float) -> str:
    start = f"linear attention is at {linear:.4g} bits per byte and RetNet at {retnet:.4g} ({one}), RetNet without any"
    start += f" decay, of the same shape and text, at {without:.4g} ({other})"
    if linear <= retnet:
        return f"{start}."
    return f"{start}; {(linear - without) / (linear - retnet):.0%} of the difference needs no decay."
