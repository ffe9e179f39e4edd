"""Copies of a tree for trials of the gate: one that is the same, and ones whose mixers are slower by a known share.

What is planted is a busy loop before each call of a mixer. How long it lasts is fixed in the copy, from the time that
each point took: a share of it, over the calls of a mixer that one step, one prompt or one token makes.
"""

import pathlib
import shutil
from typing import Any

ROOMS = ("models", "harness")
LOOP = """

def _planted():
    import time

    seconds = {seconds!r}  # of one call, by measure
    build = Model.build_mixer

    def build_mixer(self, layer):
        mixer = build(self, layer)
        forward = mixer.forward

        def delayed(x, call, state):
            measure = {token!r} if x.shape[1] == 1 else {step!r} if torch.is_grad_enabled() else {prompt!r}
            end = time.perf_counter() + seconds.get(measure, 0.0)
            while time.perf_counter() < end:
                pass
            return forward(x, call, state)

        mixer.forward = delayed
        return mixer

    Model.build_mixer = build_mixer


_planted()
"""
PHASES = {"token": "decode", "step": "training", "prompt": "prefill"}  # which measure times which kind of call


def copy(root: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """The sources of a tree."""
    for room in ROOMS:
        shutil.copytree(root / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def slow_down(folder: pathlib.Path, rows: list[tuple[dict[str, Any], float]], share: float) -> None:
    """Makes every model of the copy slower by a share of what its points took: pairs of a row and its time in ms.

    Raises ValueError where two points of one model and measure differ in size: one loop cannot fit both.
    """
    seconds: dict[str, dict[str, float]] = {}
    for row, milliseconds in rows:
        known = seconds.setdefault(row["model"], {})
        if row["measure"] in known:
            raise ValueError(f"{row['model']} has two points of {row['measure']}; a trial needs one of each")
        known[row["measure"]] = share * milliseconds / 1000 / row["layers"]
    for model, told in seconds.items():
        path = folder / "models" / f"{model}.py"
        text = LOOP.format(seconds=told, **PHASES)
        path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
