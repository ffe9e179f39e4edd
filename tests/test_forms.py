"""A model whose forms disagree gets no other number."""

import dataclasses

import pytest
import torch

import models
from harness import measures
from harness.bench import Bench
from harness.measures.forms import FormsDisagree
from tests import tiny
from tests.test_measures import measured, point, values


@pytest.fixture
def only_tiny(monkeypatch):
    monkeypatch.setattr(models, "load", lambda name: tiny.Model)


@pytest.mark.parametrize("wrong", ["output", "state", "gradient"])
def test_forms_that_disagree_are_told_and_refused(only_tiny, wrong):
    made = point("forms", options={**dataclasses.asdict(tiny.Options()), "wrong": wrong})
    rows, run = [], measures.load("forms").run(made, Bench(made))
    with pytest.raises(FormsDisagree, match=rf"{wrong}_difference \d\.\de-0\d \(parallel.*; at most 1e-08"):
        rows.extend(run)
    assert [row.metric for row in rows] == list(measures.load("forms").metrics)
    assert values(rows, f"{wrong}_difference")[0] > 1e-4


def test_forms_are_compared_in_the_points_options_and_heads_at_a_small_size(only_tiny, monkeypatch):
    seen, run = [], tiny.Model.run
    monkeypatch.setattr(tiny.Model, "run", lambda self, *a, **k: seen.append(self) or run(self, *a, **k))
    rows = measured(
        "forms", width=3 * 640, layers=7, ffn_width=5000, options={**dataclasses.asdict(tiny.Options()), "ffn": "gelu"}
    )
    shape = seen[0].shape
    assert (shape.heads, shape.layers) == (3, 2)
    assert shape.width < 100
    assert seen[0].options.ffn == "gelu"
    assert seen[0].embedding.weight.dtype == torch.float64
    assert values(rows, "output_difference") == [0.0], "two forms that are one code differ in nothing"
