"""How far a rounded state drifts: what is compared, where, and for which models."""

import dataclasses

import pytest
import torch

import models
from harness.measures import NotApplicable, state_drift
from models import _rounding
from tests.test_measures import measured, values

RETNET = {"model": "retnet", "options": dataclasses.asdict(models.load("retnet").Options(state_dtype="bfloat16"))}


def test_drift_is_told_at_powers_of_two_and_at_the_end():
    rows = measured("state_drift", **RETNET)
    for metric in ("logits_error", "state_error"):
        assert [row.length for row in rows if row.metric == metric] == [2, 4, 8, 16, 19]
        assert all(1e-4 < value < 0.1 for value in values(rows, metric)), metric
    assert rows == measured("state_drift", **RETNET), "the same every time"
    assert state_drift.lengths(2) == [2]
    assert state_drift.lengths(64) == [2, 4, 8, 16, 32, 64]


def test_drift_is_that_of_the_state_alone(monkeypatch):
    """Without rounding nothing drifts; the state is compared in all layers, as one list of numbers."""
    monkeypatch.setattr(_rounding, "dithered", lambda x, position: x.clone())
    assert set(values(measured("state_drift", **RETNET), "state_error")) == {0.0}
    assert set(values(measured("state_drift", **RETNET), "logits_error")) == {0.0}
    a, b = torch.tensor([3.0, 0.0]), torch.tensor([[0.0], [4.0]])
    assert state_drift.error([a * 1.1, b], [a, b]) == pytest.approx(0.3 / 5, rel=1e-6)


@pytest.mark.parametrize(
    ("factors", "reason"),
    [
        ({"model": "retnet"}, "not rounded; only a model with a state_dtype of bfloat16"),
        ({"model": "aft"}, "not rounded; only a model with a state_dtype of bfloat16"),
        ({**RETNET, "sequence_length": 1}, "at least 2"),
    ],
)
def test_what_cannot_drift_is_not_applicable(factors, reason):
    with pytest.raises(NotApplicable, match=reason):
        measured("state_drift", **factors)
