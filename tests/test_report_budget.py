"""Only what was trained alike is compared, and what is left out is told."""

from typing import Any

import pytest

from reports import budget, corners, language, provenance, wording
from tests.report_data import Builder, ResultSet

NOVELS = '{"train": "./texts/books-train.txt.xz", "held_out": "/data/books-valid.txt.xz"}'


def trained(other: dict[str, Any], settings: dict[str, Any] | None = None) -> ResultSet:
    """RWKV trained otherwise, RetNet and AFT alike after it; the only RWKV rows are the odd ones."""
    made = Builder()
    for seed in range(3):
        made.language("rwkv", seed, 1e-3, 1.0, **other)
        made.language("aft", seed, 1e-3, 2.4)
        made.language("retnet", seed, 1e-3, 2.2)
    return made.build(settings)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"corpus_sha256": "cd" * 32, "corpus": "novels"}, "3 with other text"),
        ({"corpus_sha256": None}, "3 with other text"),
        ({"training_tokens": 515_000}, "3 with other training tokens"),
        ({"training_batch_size": 16}, "3 with another batch"),
        ({"training_sequence_length": 256}, "3 with another length"),
        ({"dtype": "bfloat16"}, "3 with another number format"),
    ],
)
def test_what_was_trained_otherwise_is_left_out_and_told(other: dict[str, Any], why: str) -> None:
    told = trained(other)
    assert set(language.headline(told)["label"]) == {"aft", "retnet"}
    one = budget.one(told)
    assert one.dropped == 3
    assert why in one.left_out
    assert "batch 8, length 128, 500,000 training tokens" in one.left_out
    assert one.left_out in provenance.cautions(told)


def test_what_was_trained_alike_stays() -> None:
    for other in ({}, {"training_tokens": 495_000}):
        told = trained(other)
        assert set(language.headline(told)["label"]) == {"aft", "retnet", "rwkv"}
        assert budget.one(told).left_out == ""


def test_a_budget_of_flops_holds_flops_equal_and_not_tokens() -> None:
    settings = {"training": {"flops": 3e11, "tokens": None}}
    for other, stays in (
        ({"training_tokens": 700_000, "training_flops": 2.99e11}, True),
        ({"training_tokens": 500_000, "training_flops": 4e11}, False),
        ({"training_tokens": 10_240, "training_flops": 2.8e11}, True),  # one step of ten short
        ({"training_tokens": 102_400, "training_flops": 2.8e11}, False),
    ):
        assert ("rwkv" in set(language.headline(trained(other, settings))["label"])) == stays, other
    assert "3 with other training FLOPs" in budget.one(trained({"training_flops": 4e11}, settings)).left_out


def test_a_budget_of_seconds_holds_seconds_equal_and_not_tokens() -> None:
    made = Builder()
    for label, tokens in (("rwkv", 300_000), ("aft", 400_000), ("retnet", 500_000)):
        made.language(label, 0, 1e-3, 2.0, training_tokens=tokens)
    odd = next(row["point"] for row in made.rows["points"] if row["model"] == "rwkv")
    settings = {"training": {"seconds": 13.2}}
    assert budget.one(made.build(settings)).dropped == 0
    for row in made.rows["curves"]:
        row["seconds"] *= 2 if row["point"] == odd else 1
    told = budget.one(made.build(settings))
    assert set(told.points["model"]) == {"aft", "retnet"}
    assert "1 with other training seconds" in told.left_out


def test_a_trial_that_failed_early_is_still_told() -> None:
    made = Builder()
    made.point("language", "rwkv", "error", "loss is not finite", learning_rate=1e-2, role="trial")
    made.language("retnet", 0, 1e-3, 2.0, role="trial")
    assert set(budget.one(made.build()).points["label"]) == {"rwkv", "retnet"}


def test_the_corner_says_what_was_left_out_and_on_which_text() -> None:
    made = Builder()
    for label in ("rwkv", "retnet"):
        made.speed("training", label, 64, 2, 100.0)
        made.speed("decode", label, 64, 2, 10.0)
    made.language("rwkv", 0, 1e-3, 2.0, training_tokens=1000)
    made.language("retnet", 0, 1e-3, 2.0)
    found = corners.measure(made.build())
    assert found is not None
    assert "left out, as trained otherwise: 1 row" in found.where["quality"]
    assert "training tokens of python-docs" in found.where["quality"]
    assert found.table.set_index("series").loc["rwkv", "quality_missing"] == "not trained under this budget"


def test_a_corpus_is_named_without_the_folders_of_one_machine() -> None:
    assert wording.corpus(NOVELS) == "books-train.txt.xz (held out: books-valid.txt.xz)"
    assert wording.corpus("python-docs") == "python-docs"
    assert wording.corpus("some/corpus") == "some/corpus"
    assert wording.corpus("/data/x.txt") == "x.txt"
