"""The numbers in README.md, from the triangle experiment's result sets: a table per device.

`make readme` writes them; a test compares what stands there with what the committed results give.
"""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from reports import budget, corners, language, machines, marks, provenance, rows, variants, wording

PART = marks.Part(marks.ROOT / "README.md", "numbers")
NOTHING = "There are no results yet; `make run` makes them.\n"
MACHINE = ("device_name", "cores", "torch")
COLUMNS = {
    "model": ":--",
    "parameters": "--:",
    "training tokens/s": "--:",
    "ms per decode step": "--:",
    "decode state": "--:",
    "bits per byte (range over seeds)": "--:",
    "training, decode, quality": ":-:",
}


def numbers(result_sets: Iterable[Any]) -> str:
    """A Markdown table for every device that has all three corners of the triangle, the same for the same results."""
    told = [each for each in result_sets if each.experiment in corners.EXPERIMENTS]
    told.sort(key=lambda each: (each.experiment, each.device))
    return "\n".join(_device(each, found) for each in told if (found := corners.measure(each)) is not None) or NOTHING


def _device(result_set: Any, found: corners.Corners) -> str:
    """One device: what was measured at which size, then a line per model, the largest weakest corner first."""
    where = f"{_machine(result_set, found)} (`results/{result_set.experiment}/{result_set.device}/`)."
    sizes = " ".join(f"{name.capitalize()}: {at.whole}." for name, at in found.where.items())
    lines = [f"| {' | '.join(COLUMNS)} |", f"| {' | '.join(COLUMNS.values())} |"]
    ordered = found.table.sort_values(["weakest", "series"], ascending=[False, True], na_position="last")
    lines += [f"| {' | '.join(_cells(result_set, line))} |" for line in ordered.to_dict("records")]
    options = variants.told(rows.behind(result_set.points, found.table))
    trained, apart = budget.one(result_set).caution, machines.behind(result_set, found.table)
    cautions = (found.alone, found.caution(), found.edges, trained, apart)
    below = "".join(f"\n{told}\n" for told in (options, *cautions) if told)
    return f"{where} {sizes}\n\n" + "\n".join(lines) + f"\n{below}"


def _machine(result_set: Any, found: corners.Corners) -> str:
    """Where the points that are shown were measured, which need not be where the last run was."""
    told = provenance.environments(result_set, rows.behind(result_set.points, found.table))
    names, cores, torch = (wording.listed(sorted(set(told[name].dropna().map(str))), "or") for name in MACHINE)
    return f"**{names}**, {cores} cores, torch {torch}" + (", uncommitted tree" if provenance.dirty(told) else "")


def _cells(result_set: Any, line: dict[Any, Any]) -> list[str]:
    mine = result_set.points[result_set.points["point"].isin(line["point"].split())]
    samples = result_set.samples[result_set.samples["point"].isin(mine["point"])]
    return [
        wording.title(line["series"], line["model"]),
        wording.number(mine["parameters"].max()),
        wording.number(_rounded(line["training_tokens_per_second"])),
        wording.number(_rounded(samples.loc[samples["metric"] == "token_ms", "value"].median())),
        "" if pd.isna(line["state_bytes"]) else wording.size(line["state_bytes"]),
        _quality(result_set, line),
        " / ".join(
            "gap" if pd.isna(line[f"{name}_ratio"]) else f"{line[f'{name}_ratio']:.2f}" for name in corners.CORNERS
        ),
    ]


def _quality(result_set: Any, line: dict[Any, Any]) -> str:
    """The mean over seeds, and the lowest and highest of them where there are several."""
    if pd.isna(line["bits_per_byte"]):
        return ""
    seeds = language.headline(result_set)
    told = seeds.loc[seeds["label"] == line["series"], "bits_per_byte"]
    spread = f" ({told.min():.3f} to {told.max():.3f})" if len(told) > 1 else ""
    return f"{line['bits_per_byte']:.3f}{spread}"


def _rounded(value: float) -> float:
    """Three significant digits: more are noise."""
    return value if pd.isna(value) else float(f"{value:.3g}")
