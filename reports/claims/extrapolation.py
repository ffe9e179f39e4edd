"""Beyond the training length."""

import dataclasses
from typing import Any

import pandas as pd

from reports import language, wording
from reports.claims import Finding, _evidence, _questions

TIMES, LOSS = 4, 0.02


class Claim:
    place = 62
    question = _questions.LINEAR
    statement = "RetNet keeps its quality on sequences longer than those it was trained on."
    published = "GLA paper (arXiv 2312.06635): RetNet trained at 2k tokens extrapolates to about 18k."
    rule = (
        f"Bits per byte at the longest evaluation length, at least {TIMES} times the training length, over that at "
        f"the training length, seed by seed with at least {_evidence.SEEDS} seeds that have both: supported where the "
        f"whole 95% interval of the change is below +{LOSS:.0%}, contradicted where above, mixed where it holds it. "
        "The other models are judged alike and told beside: they change no verdict."
    )

    def judge(self, result_set: Any) -> Finding | None:
        told = language.at_lengths(result_set)
        found = _beyond(told[told["label"] == "retnet"])
        if found is None:
            return None
        beside = {
            wording.title(model, model): other
            for model in sorted(set(told["label"]) & set(told["model"]) - {"retnet"})
            if (other := _beyond(told[told["label"] == model])) is not None
        }
        change = {name: other.short.partition(" ")[0] for name, other in beside.items()}
        parts = [f"{name} {change[name]}, {other.verdict}" for name, other in beside.items()]
        text = found.text + (f" The same of others: {'; '.join(parts)}." if parts else "")
        own = (
            f"bits per byte {found.text[0].lower()}{found.text[1:].partition(':')[0]}: RetNet {found.short.split()[0]}"
        )
        short = ", ".join([own, *(f"{name} {value}" for name, value in change.items())])
        table = pd.concat([found.table, *(other.table for other in beside.values())], ignore_index=True)
        return _evidence.cautioned(result_set, dataclasses.replace(found, text=text, short=short, table=table))


def _beyond(told: pd.DataFrame) -> Finding | None:
    """Of one model; None where it was not evaluated beyond its training length."""
    if told.empty or told["length"].max() < TIMES * told["training_sequence_length"].iloc[0]:
        return None
    trained, longest = told["training_sequence_length"].iloc[0], told["length"].max()
    wide = told.pivot_table(index="seed", columns="length", values="value").reindex(columns=[trained, longest])
    both = wide.dropna()
    if both.empty:
        return None
    table = told.rename(columns={"label": "series", "value": "bits_per_byte"})
    table = table[["series", "seed", "length", "bits_per_byte", "point"]]
    return _evidence.over_seeds(
        f"At length {longest} against {trained}:", both[longest] / both[trained] - 1, LOSS, table
    )
