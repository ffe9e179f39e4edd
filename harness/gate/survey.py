"""What one tree makes of an experiment: its points, and what can be compared exactly. Runs inside that tree.

    python -P survey.py EXPERIMENT.yaml DEVICE     with the tree on PYTHONPATH; JSON lines on standard output

    {"protocol": 1}
    {"refused": "models[2] ...", "reason": ...}    an entry that this tree does not know, left out
    {"row": {...}}                                 a point: its factors, the metric that times it, the code behind it,
                                                   and `point`, which `visitor.py` of the same tree takes back
    {"exact": {...}, "of": number of the row}      parameters, FLOPs, bytes of the state and a loss, or `failure`

Whatever else this file does may change from revision to revision; these lines may not, or PROTOCOL does. A revision
that is older than this file is surveyed by the caller's copy, which therefore needs nothing of `harness.gate`.

Exact values are of the CPU on one thread, where the same seed gives the same numbers bit for bit. `parameters`,
`flops_per_token` and `state_bytes` are what the model states, `live_*` what it has. `loss` is the sum of the losses of
`STEPS` optimiser steps on random tokens.
"""

import dataclasses
import json
import os
import pathlib
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

PROTOCOL = 1
FACTORS = (
    *("measure", "model", "label", "form", "batch_size", "sequence_length", "dtype", "width", "layers", "heads"),
    *("parameters", "flops_per_token", "state_bytes", "not_applicable"),
)
STEPS, LEARNING_RATE = 3, 1e-3
MOST_BATCH, MOST_LENGTH = 4, 512  # of the loss
MOST_TOKENS = 65_536  # of a state that is made to be weighed


def main() -> None:
    file, device = sys.argv[1:]
    out = open(os.dup(1), "w", buffering=1, encoding="utf-8")  # noqa: SIM115
    os.dup2(2, 1)  # what the tree's code prints is no reply
    for line in survey(pathlib.Path(file), device):
        out.write(json.dumps(line) + "\n")


def survey(file: pathlib.Path, device: str) -> Iterator[dict[str, Any]]:
    """The lines at the head of this file."""
    from harness import plan

    yield {"protocol": PROTOCOL}
    experiment, refused = loaded(file)
    for entry, reason in refused:
        yield {"refused": entry, "reason": reason}
    points = [] if experiment is None else plan.points(experiment, device)
    for point in points:
        yield {"row": row(point)}
    losses: dict[str, float] = {}
    for number, point in enumerate(points):
        if point.measure != plan.FORMS and point.not_applicable is None:
            yield {"exact": exact(point, losses), "of": number}


def loaded(file: pathlib.Path) -> tuple[Any, list[tuple[str, str]]]:
    """The experiment without the entries that this tree refuses, and those; None where nothing is left that loads."""
    from harness import document, experiment
    from harness.errors import UserError

    try:
        return experiment.load(file), []
    except UserError as error:
        whole = str(error)
    text = file.read_text(encoding="utf-8")
    data, _ = document.parse(text, str(file))
    question, refused = text.strip().splitlines()[0], []
    with tempfile.TemporaryDirectory() as folder:

        def tried(**entries: Any) -> Any:
            copy = pathlib.Path(folder, file.name)
            copy.write_text(f"{question}\n" + json.dumps(data | entries), encoding="utf-8")
            return experiment.load(copy)

        kept: dict[str, list[Any]] = {"models": [], "measures": []}
        known = _known(data)
        for kind, others in (("models", "measures"), ("measures", "models")):
            for i, entry in enumerate(data.get(kind) or []):
                try:
                    tried(**{kind: [entry], others: kept[others] or known[others]})
                    kept[kind].append(entry)
                except UserError as error:
                    refused.append((f"{kind}[{i}] {json.dumps(entry)}", _line(error, folder)))
        try:
            return tried(**kept), refused
        except UserError:
            return None, [("the whole file", " ".join(whole.split()))]


def _known(data: dict[str, Any]) -> dict[str, list[Any]]:
    """The entries whose names this tree has."""
    import models
    from harness import measures

    names = {"models": models.names(), "measures": measures.names()}
    return {
        kind: [
            entry
            for entry in data.get(kind) or []
            if (entry.get("name") if isinstance(entry, dict) else entry) in there
        ]
        for kind, there in names.items()
    }


def row(point: Any) -> dict[str, Any]:
    """A point as the gate sees it. `metric` is the time that it is compared by; None where it has none."""
    from harness import measures, sources

    metrics = measures.load(point.measure).metrics
    timed = [name for name, about in metrics.items() if about.unit == "ms"]
    told = {name: getattr(point, name) for name in FACTORS}
    told["metric"] = timed[0] if timed and point.training is None else None
    told["code"] = sources.code_hash(point.model, point.measure)
    return told | {"point": dataclasses.asdict(point)}


def exact(point: Any, losses: dict[str, float]) -> dict[str, Any]:
    """What is compared exactly. `losses` keeps those of models that several points share."""
    told = {name: getattr(point, name) for name in ("parameters", "flops_per_token", "state_bytes")}
    try:
        told |= _live(dataclasses.replace(point, device="cpu"), losses)
    except Exception as error:
        told["failure"] = f"{type(error).__name__}: {_line(error)}"
    return {name: value for name, value in told.items() if value is not None}


def _live(point: Any, losses: dict[str, float]) -> dict[str, Any]:
    import torch

    from harness.bench import Bench

    torch.set_num_threads(1)
    bench, told = Bench(point), {}
    model = bench.model()
    told["live_parameters"] = sum(parameter.numel() for parameter in model.parameters())
    batch, length = point.batch_size or 1, point.sequence_length
    if length and batch * length <= MOST_TOKENS:
        with torch.inference_mode():
            _, state = model.prefill(bench.tokens(batch, length), bench.form, capacity=length)
        told["live_state_bytes"] = state.nbytes
    sizes = [getattr(point, name) for name in ("label", "dtype", "width", "layers", "heads")]
    shared = json.dumps([*sizes, bench.form, batch, length])
    if shared not in losses:
        losses[shared] = _loss(Bench(point), min(batch, MOST_BATCH), min(length or MOST_LENGTH, MOST_LENGTH))
    return told | {"loss": losses[shared]}


def _loss(bench: Any, batch: int, length: int) -> float:
    from harness import stepping
    from harness.point import Training

    settings = Training(sequence_length=length, batch_size=batch, learning_rate=LEARNING_RATE)
    model, total = bench.model(), 0.0
    optimiser = stepping.optimiser(model, settings)
    model.train()
    for _ in range(STEPS):
        windows = bench.tokens(batch, length + 1)
        total += stepping.step(model, optimiser, windows, settings, bench.form).item()
    return total


def _line(error: BaseException, folder: str = "") -> str:
    return " ".join(str(error).replace(folder + os.sep, "").split())[:500] if folder else " ".join(str(error).split())


if __name__ == "__main__":
    main()
