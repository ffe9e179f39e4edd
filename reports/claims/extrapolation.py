"""Beyond the training length."""

from typing import Any

from reports import language
from reports.claims import Finding, _evidence

TIMES, LOSS = 4, 0.02


class Claim:
    place = 62
    statement = "RetNet keeps its quality on sequences longer than those it was trained on."
    published = "GLA paper (arXiv 2312.06635): RetNet trained at 2k tokens extrapolates to about 18k."
    rule = (
        f"Bits per byte at the longest evaluation length, at least {TIMES} times the training length, over that at "
        f"the training length, seed by seed with at least {_evidence.SEEDS} seeds that have both: supported where the "
        f"whole 95% interval of the change is below +{LOSS:.0%}, contradicted where above."
    )

    def judge(self, result_set: Any) -> Finding | None:
        told = language.at_lengths(result_set)
        told = told[told["label"] == "retnet"]
        if told.empty or told["length"].max() < TIMES * told["training_sequence_length"].iloc[0]:
            return None
        trained, longest = told["training_sequence_length"].iloc[0], told["length"].max()
        wide = told.pivot_table(index="seed", columns="length", values="value").reindex(columns=[trained, longest])
        both = wide.dropna()
        if both.empty:
            return None
        table = told.rename(columns={"label": "series", "value": "bits_per_byte"})
        table = table[["series", "seed", "length", "bits_per_byte", "point"]]
        text = f"At length {longest} against {trained}:"
        found = _evidence.over_seeds(text, both[longest] / both[trained] - 1, LOSS, table)
        return _evidence.cautioned(result_set, found)
