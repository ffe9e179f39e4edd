"""Prediction late in the sequence."""

from typing import Any

from reports import language
from reports.claims import Finding, _evidence


class Claim:
    place = 61
    statement = "RetNet makes use of a longer context: it predicts better late in the sequence than early."
    published = "RetNet paper (arXiv 2307.08621), Table 8, perplexity at context 512, 1024, 2048: 13.09, 12.14, 11.98."
    rule = (
        "Bits per byte in the last bucket of positions over the bucket before it, at the training length, seed by "
        "seed with at least three seeds: supported where the whole 95% interval of the change is below zero, "
        "contradicted where above."
    )

    def judge(self, result_set: Any) -> Finding | None:
        told = language.values(result_set)
        told = told[(told["label"] == "retnet") & told["bucket"].notna()]
        told = told[(told["length"].fillna(told["training_sequence_length"])) == told["training_sequence_length"]]
        wide = told.pivot_table(index="seed", columns="bucket", values="value").dropna()
        if wide.shape[1] < 2 or wide.empty:
            return None
        table = told.rename(columns={"label": "series", "value": "bits_per_byte"})
        table = table[["series", "seed", "length", "bucket", "bits_per_byte", "point"]]
        text = f"Up to position {wide.columns[-1]} against up to {wide.columns[-2]}:"
        return _evidence.over_seeds(text, wide.iloc[:, -1] / wide.iloc[:, -2] - 1, 0, table)
