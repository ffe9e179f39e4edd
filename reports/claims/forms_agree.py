"""Parallel, recurrent and chunkwise retention are one function."""

from typing import Any

from reports import rows
from reports.claims import CONTRADICTED, MIXED, SUPPORTED, Finding
from reports.figures import forms


class Claim:
    place = 10
    statement = "RetNet's parallel, recurrent and chunkwise forms compute the same function."
    published = (
        "RetNet paper (arXiv 2307.08621), Section 2; the authors' own code is reported to disagree (torchscale #40,"
        " #54)."
    )
    rule = (
        "Every form is held to the step-by-step one in output, state and gradient before anything else is measured."
        " Supported where every entry of RetNet passed, contradicted where one was refused because its forms "
        "disagree, mixed where the comparison itself failed."
    )

    def judge(self, result_set: Any) -> Finding | None:
        points = rows.of_measure(result_set, "forms")
        points = points[points["model"] == "retnet"].sort_values("label", kind="stable")
        if points.empty:
            return None
        largest = [rows.samples_of(result_set, points, metric)["value"].max() for metric in forms.METRICS]
        table = points[["label", "status", "reason", "point"]].rename(columns={"label": "series"})
        reasons = sorted(set(table.loc[table["status"] != "ok", "reason"].dropna()))
        if (table["status"] == "ok").all():
            return Finding(SUPPORTED, f"Largest relative difference {max(largest):.1e}.", table)
        disagree = any("disagree" in reason.lower() for reason in reasons)
        return Finding(CONTRADICTED if disagree else MIXED, f"Refused: {'; '.join(reasons)}.", table)
