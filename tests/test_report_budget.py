"""Only what was trained alike is compared, and what is left out is told."""

import dataclasses
from typing import Any

import pytest

from harness import tables
from harness.point import Training
from reports import budget, corners, language, overview, provenance, readme, wording
from tests.report_data import Builder, ResultSet

NOVELS = '{"train": "./texts/books-train.txt.xz", "held_out": "/data/books-valid.txt.xz"}'


SETTINGS = {
    "schedule": "cosine",
    "final_rate": 0.1,
    "warmup": 0.1,
    "betas": "0.9,0.95",
    "weight_decay": 0.1,
    "clip": 1.0,
    "accumulate": 1,
    "autocast": "false",
}
OTHERWISE = {
    "schedule": "linear",
    "final_rate": 0.0,
    "warmup": 0.2,
    "betas": "0.9,0.999",
    "weight_decay": 0.0,
    "clip": 0.5,
    "accumulate": 2,
    "autocast": "true",
}


def trained(
    other: dict[str, Any], settings: dict[str, Any] | None = None, both: dict[str, Any] | None = None
) -> ResultSet:
    """RWKV trained otherwise, RetNet and AFT alike after it; the only RWKV rows are the odd ones."""
    made = Builder()
    for seed in range(3):
        made.language("rwkv", seed, 1e-3, 1.0, **{**(both or {}), **other})
        made.language("aft", seed, 1e-3, 2.4, **(both or {}))
        made.language("retnet", seed, 1e-3, 2.2, **(both or {}))
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


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_another_optimiser_trained_is_left_out_and_told(name: str) -> None:
    told = trained({name: OTHERWISE[name]}, both=SETTINGS)
    assert set(language.headline(told)["label"]) == {"aft", "retnet"}
    one = budget.one(told)
    assert (one.dropped, one.unknown) == (3, "")
    assert f"3 with {budget.SAME[name]}." in one.left_out


def test_all_that_trains_a_model_is_a_column_and_held_equal() -> None:
    """Except the learning rate, which is tuned for each model."""
    budgets = {"sequence_length", "batch_size", "learning_rate", *budget.KINDS}
    assert set(tables.TRAINED) == {field.name for field in dataclasses.fields(Training)} - budgets
    assert set(tables.TRAINED) == set(budget.TRAINED) == set(SETTINGS) == set(OTHERWISE)


def test_a_row_that_does_not_tell_how_it_was_trained_stays_and_is_told() -> None:
    for odd, both in ((dict.fromkeys(SETTINGS), SETTINGS), (SETTINGS, {})):
        told = trained(odd, both=both)
        one = budget.one(told)
        assert set(one.points["label"]) == {"aft", "retnet", "rwkv"}, "older ones are not known to differ"
        older = "3 rows (RWKV-4)" if both else "6 rows (AFT and RetNet)"
        assert one.unknown.startswith("Compared though older than the record of schedule, final rate, warm-up, betas")
        assert one.unknown.endswith(f": {older}.")
        assert one.unknown in provenance.cautions(told)
    assert budget.one(trained({})).caution == "", "where none tells it, none stands out"


def test_rows_that_tell_how_they_were_trained_are_held_to_the_last_that_does() -> None:
    made = Builder()
    made.language("rwkv", 0, 1e-3, 1.0, **{**SETTINGS, "weight_decay": 0.0})
    made.language("aft", 0, 1e-3, 2.4, **SETTINGS)
    made.language("retnet", 0, 1e-3, 2.2)
    one = budget.one(made.build())
    assert set(one.points["label"]) == {"aft", "retnet"}
    assert "1 with another weight decay." in one.left_out
    assert one.unknown.endswith(": 1 row (RetNet).")
    assert one.caution == f"{one.left_out} {one.unknown}"


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
    assert "left out, as trained otherwise: 1 row" in found.where["quality"].whole
    assert "training tokens of python-docs" in found.where["quality"].whole
    assert found.table.set_index("series").loc["rwkv", "quality_missing"] == "not trained under this budget"


def test_the_readme_and_the_index_say_what_older_rows_do_not_tell() -> None:
    """As the triangle page does: who reads only these compares the same rows."""
    made = Builder()
    for label in ("rwkv", "retnet"):
        made.speed("training", label, 64, 2, 100.0)
        made.speed("decode", label, 64, 2, 10.0)
        made.language(label, 0, 1e-3, 2.0, **(SETTINGS if label == "retnet" else {}))
    told = budget.one(made.build()).caution
    assert told.endswith("which may not have been the same: 1 row (RWKV-4).")
    assert told in provenance.cautions(made.build())
    assert f"|\n\n{told}\n" in readme.numbers([made.build()])
    (found,) = overview.best([made.build()])
    assert [line[3].endswith(f" and optimiser. {told}") for line in found["lines"]] == [False, False, True, False]


def test_a_corpus_is_named_without_the_folders_of_one_machine() -> None:
    assert wording.corpus(NOVELS) == "books-train.txt.xz (held out: books-valid.txt.xz)"
    assert wording.corpus("python-docs") == "python-docs"
    assert wording.corpus("some/corpus") == "some/corpus"
    assert wording.corpus("/data/x.txt") == "x.txt"
