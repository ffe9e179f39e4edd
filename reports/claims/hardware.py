"""What the paper was trained on."""

from typing import Any

from reports import plurals
from reports.claims import SUPPORTED, Finding

MAKERS = ("amd instinct", "amd radeon", "mi200", "mi210", "mi250", "mi300")


class Claim:
    place = 90
    statement = "RetNet trains on AMD accelerators; the paper's models were trained on MI200 cards and not on NVIDIA's."
    published = "RetNet paper (arXiv 2307.08621), Section 3.1."
    rule = "Supported where a RetNet finished its training on an AMD accelerator; not testable where none was there."

    def judge(self, result_set: Any) -> Finding | None:
        named = result_set.environments["device_name"].fillna("").str.lower()
        here = result_set.environments[named.str.contains("|".join(MAKERS))]
        points = result_set.points
        done = points[points["environment"].isin(here["environment"]) & (points["status"] == "ok")]
        done = done[(done["model"] == "retnet") & done["measure"].isin(["training", "language"])]
        if done.empty:
            return None
        table = done[["label", "measure", "point"]].rename(columns={"label": "series"})
        trained = plurals.counted(len(done), "point")
        return Finding(SUPPORTED, f"{trained} trained on {here['device_name'].iloc[0]}.", table)
