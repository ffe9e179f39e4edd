"""The size of the heads."""

from typing import Any

from reports import language
from reports.claims import Finding, _evidence


class Claim:
    place = 64
    statement = "RetNet predicts better with larger heads."
    published = "RetNet paper (arXiv 2307.08621), Table 6, in-domain perplexity: 26.05 at head size 256, 27.68 at 64."
    rule = f"The larger of two head sizes against the smaller, else equal. {_evidence.ALL_BETTER}"

    def judge(self, result_set: Any) -> Finding | None:
        points = language.results(result_set)
        if "option.head_size" not in points:
            return None
        sizes = sorted({size for size in points["option.head_size"].dropna() if size.isdigit()}, key=int)
        pairs = [
            (large, small)
            for place, size in enumerate(sizes)
            for larger in sizes[place + 1 :]
            for small, large in _evidence.option_pairs(result_set, "head_size", size, larger)
        ]
        return _evidence.all_better(result_set, "retnet", pairs)
