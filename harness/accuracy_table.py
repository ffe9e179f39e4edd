"""How predictions came out, as the README tells it: written there by `make readme`."""

import pathlib

from harness import accuracy
from harness.child import ROOT
from reports import marks

PART = marks.Part(ROOT / "README.md", "predictions")
QUANTITIES = {
    "step_ms": "optimiser steps",
    "prefill_ms": "prompts",
    "token_ms": "decode steps",
    "peak_bytes": "peak memory of optimiser steps",
    "peak_allocated_bytes": "peak memory of contexts",  # that tensors held, where an allocator counts them
    "peak_resident_bytes": "peak memory of contexts",
    "state_bytes": "states after contexts",
}


def markdown(results: pathlib.Path) -> str:
    """A Markdown table of predicted over measured in a results folder, a line per device and quantity."""
    told = accuracy.summary(accuracy.load(results))
    lines = ["| | medians of models | single points |", "| :-- | :-: | :-: |"]
    for device, of_device in told.groupby("device", sort=True):
        for metric, what in QUANTITIES.items():
            if len(found := of_device[of_device["metric"] == metric]):
                medians = f"{found['median'].min():.2f} to {found['median'].max():.2f}"
                points = f"{found['least'].min():.2f} to {found['most'].max():.2f}"
                lines.append(f"| {device}, {what} | {medians} | {points} |")
    return "\n".join(lines) + "\n"
