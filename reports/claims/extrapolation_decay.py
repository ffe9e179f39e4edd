"""What the decay does beyond the training length."""

from typing import Any

import pandas as pd

from reports import language, wording
from reports.claims import CONTRADICTED, MIXED, SUPPORTED, UNTESTABLE, Finding, _beyond, _evidence, _questions, together

NONE = "none"
WORDS = {SUPPORTED: "kept", CONTRADICTED: "lost", MIXED: "neither kept nor lost", UNTESTABLE: "undecided"}


class Claim:
    place = 65
    question = _questions.LINEAR
    statement = (
        "It is the decay that keeps RetNet's quality on sequences longer than those it was trained on: it is lost "
        "without one, and kept with any."
    )
    published = (
        "Of retention we know no number. ALiBi paper (arXiv 2108.12409), abstract, of a penalty on attention in "
        "proportion to the distance, which is a decay of its weights: 1.3B parameters trained at 1,024 tokens predict "
        "2,048 as well as with sinusoids trained at 2,048."
    )
    rule = (
        f"{_beyond.RULE}quality is kept where the whole 95% interval of the change is below +{_beyond.LOSS:.0%}, and "
        "lost where above. Supported where RetNet without decay loses it and with every schedule of decays, else "
        "equal, keeps it; contradicted where it keeps it without decay, or loses it with every schedule; mixed "
        "otherwise."
    )

    def judge(self, result_set: Any) -> Finding | None:
        told = language.at_lengths(result_set)
        pairs = _pairs(result_set)
        without, decayed = (_each(told, [pair[side] for pair in pairs]) for side in (0, 1))
        if not without or not decayed:
            return None
        every = without | decayed
        at = _beyond.lengths(told[told["label"].isin(every)])
        each = [
            f"{wording.title(label, 'retnet')} {one.text.partition(': ')[2].rstrip('.')}, {WORDS[one.verdict]}"
            for label, one in every.items()
        ]
        ends = f"{_beyond.spread(without.values())} without decay, {_beyond.spread(decayed.values())} with"
        table = pd.concat([one.table for one in every.values()], ignore_index=True)
        found = Finding(
            _verdict(without, decayed), f"{at}: {'; '.join(each)}.", table,
            f"bits per byte {at[0].lower()}{at[1:]}: {ends}",
        )  # fmt: skip
        return _evidence.cautioned(result_set, found)


def _pairs(result_set: Any) -> list[tuple[str, str]]:
    """(label, label) of entries that are alike but for their decay: without any, with some."""
    points = language.results(result_set)
    gammas = sorted(set(points["option.gamma"].dropna()) - {NONE}) if "option.gamma" in points else []
    return [pair for gamma in gammas for pair in _evidence.option_pairs(result_set, "gamma", NONE, gamma)]


def _each(told: pd.DataFrame, labels: list[str]) -> dict[str, Finding]:
    found = {label: _beyond.judge(told[told["label"] == label]) for label in dict.fromkeys(labels)}
    return {label: one for label, one in found.items() if one is not None}


def _verdict(without: dict[str, Finding], decayed: dict[str, Finding]) -> str:
    bare, faded = (together(one.verdict for one in found.values()) for found in (without, decayed))
    if UNTESTABLE in (bare, faded):
        return UNTESTABLE
    if (bare, faded) == (CONTRADICTED, SUPPORTED):
        return SUPPORTED
    return CONTRADICTED if bare == SUPPORTED or faded == CONTRADICTED else MIXED
