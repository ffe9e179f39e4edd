"""Prediction with a longer context."""

from typing import Any

from reports import language, wording
from reports.claims import UNTESTABLE, Finding, _evidence


class Claim:
    place = 61
    statement = "RetNet makes use of a longer context: it predicts the same text better with more of it before."
    published = (
        "RetNet paper (arXiv 2307.08621), Table 8, perplexity of the same text at context 512, 1024, 2048: 13.09, "
        "12.14, 11.98."
    )
    rule = (
        "Bits per byte at the training length over that at the next shorter evaluation length, which scores the same "
        f"bytes with less before them, seed by seed with at least {_evidence.SEEDS} seeds that have both: supported "
        "where the whole 95% interval of the change is below zero, contradicted where above. Positions within a "
        "sequence decide nothing: later ones are other bytes, and every seed scores the same ones, so that how hard "
        "they are is in no interval."
    )

    def judge(self, result_set: Any) -> Finding | None:
        told = language.at_lengths(result_set)
        told = told[told["label"] == "retnet"]
        told = told[told["length"] <= told["training_sequence_length"]]
        if told.empty:
            return None
        table = told.rename(columns={"label": "series", "value": "bits_per_byte"})
        table = table[["series", "seed", "length", "bits_per_byte", "point"]]
        trained = told["training_sequence_length"].iloc[0]
        wide = told.pivot_table(index="seed", columns="length", values="value")
        shorter = wide.columns[wide.columns < trained]
        both = wide[[shorter.max(), trained]].dropna() if len(shorter) and trained in wide else wide.iloc[:0]
        if both.empty:
            return Finding(UNTESTABLE, _missing(trained), table)
        text = f"At length {trained} against {shorter.max()}, on the same bytes:"
        found = _evidence.over_seeds(text, both[trained] / both[shorter.max()] - 1, 0, table)
        return _evidence.cautioned(result_set, found)


def _missing(trained: int) -> str:
    return (
        f"No length below the training length, {wording.number(trained)}, was evaluated. Bits per byte at half of it, "
        "over the same bytes, would tell what the context adds."
    )
