"""Beyond the training length."""

from typing import Any

from reports import intervals, language
from reports.claims import UNTESTABLE, Finding, _evidence

TIMES, LOSS = 4, 0.02


class Claim:
    place = 62
    statement = "RetNet keeps its quality on sequences longer than those it was trained on."
    published = "GLA paper (arXiv 2312.06635): RetNet trained at 2k tokens extrapolates to about 18k."
    rule = (
        f"Bits per byte at the longest evaluation length, at least {TIMES} times the training length, over that at "
        "the training length, seed by seed with at least three seeds: supported where the whole 95% interval of the"
        f" change is below +{LOSS:.0%}, contradicted where above."
    )

    def judge(self, result_set: Any) -> Finding | None:
        told = language.values(result_set)
        told = told[(told["label"] == "retnet") & told["bucket"].isna() & told["length"].notna()]
        if told.empty or told["length"].max() < TIMES * told["training_sequence_length"].iloc[0]:
            return None
        wide = told.pivot_table(index="seed", columns="length", values="value")
        trained, longest = told["training_sequence_length"].iloc[0], wide.columns[-1]
        if trained not in wide:
            return None
        change, low, high = intervals.mean_of_few((wide[longest] / wide[trained] - 1).dropna())
        text = f"At length {longest} against {trained}: {change:+.2%}"
        table = told.rename(columns={"label": "series", "value": "bits_per_byte"})
        table = table[["series", "seed", "length", "bits_per_byte", "point"]]
        if len(wide) < _evidence.SEEDS:
            return Finding(
                UNTESTABLE, f"{text}, from {len(wide)} of the {_evidence.SEEDS} seeds that are needed.", table
            )
        verdict = _evidence.by_interval(low, high, LOSS, above=False)
        return Finding(verdict, f"{text} (95% interval {low:+.2%} to {high:+.2%}).", table)
