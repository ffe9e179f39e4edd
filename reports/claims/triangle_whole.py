"""All three corners at once."""

from typing import Any

from reports import corners, triangle, wording
from reports.claims import CONTRADICTED, MIXED, SUPPORTED, UNTESTABLE, Finding, _evidence

NEAR, FAR = 0.8, 0.5  # of the best model at that corner


class Claim:
    place = 20
    statement = (
        "RetNet has all three corners of the impossible triangle at once: training speed, cheap decoding, quality."
    )
    published = "RetNet paper (arXiv 2307.08621), Figure 2."
    rule = (
        f"Supported where each of RetNet's three ratios to the best model is at least {NEAR}, contradicted where one"
        f" is below {FAR}, mixed between. Formula: see the triangle page."
    )

    def judge(self, result_set: Any) -> Finding | None:
        found = corners.measure(result_set)
        if found is None or "retnet" not in set(found.table["model"]):
            return None
        mine = found.table[found.table["model"] == "retnet"]
        mine = mine[mine["series"] == "retnet"] if "retnet" in set(mine["series"]) else mine
        mine = mine.sort_values("weakest", ascending=False).head(1)
        ratios = mine[[f"{name}_ratio" for name in corners.CORNERS]].iloc[0]
        said = wording.listed([f"{name} {triangle.ratio(ratios[f'{name}_ratio'])}" for name in corners.CORNERS])
        if found.alone:
            return Finding(UNTESTABLE, found.alone, mine)
        if ratios.isna().any():
            return Finding(UNTESTABLE, f"A corner is a gap: {said}.", mine)
        least = ratios.drop([f"{name}_ratio" for name in found.cautions]).min()
        verdict = SUPPORTED if least >= NEAR else CONTRADICTED if least < FAR else MIXED
        text = f"RetNet's ratios to the best: {said}."
        best = found.table[found.table["quality_ratio"] == 1]
        if edge := _evidence.at_edge(result_set, [*mine["series"], *best["series"]]):
            text += f" {edge}"
        if found.cautions:  # the other corners can contradict; alone they support nothing
            verdict, text = CONTRADICTED if least < FAR else UNTESTABLE, f"{text} {found.caution()}"
        return Finding(verdict, text, mine)
