"""What the tests of planning share: one experiment over three models, and its points."""

import pathlib
import tempfile

from harness import experiment, plan
from harness.point import Point

TEXT = """# How do three models compare?
models: [retnet, transformer, aft]
budget: {parameters: 300k}
shape: {layers: 2, width: 48, heads: 3}
sweep: {batch_size: [1, 5], sequence_length: [16, 40]}
measures: [prefill, decode, language]
repeats: 3
seeds: [2, 4, 7]
corpus: python-docs
training: {tokens: 10k, sequence_length: 32, batch_size: 4, learning_rate: [1e-3, 3e-3]}
limits: {seconds: 20, memory: 2GiB}
"""


def asked(*overrides: str) -> experiment.Experiment:
    """The experiment after some overrides."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "asked.yaml"
        path.write_text(TEXT, encoding="utf-8")
        return experiment.load(path, list(overrides))


def points(*overrides: str, device: str = "cpu") -> list[Point]:
    return plan.points(asked(*overrides), device)


def of(found: list[Point], measure: str) -> list[Point]:
    return [point for point in found if point.measure == measure]
