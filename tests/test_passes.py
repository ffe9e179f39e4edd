"""How many steps and passes over the text the qualities are of is told beside them, and beside claims on them."""

import dataclasses
import html
import pathlib

import pandas as pd
import pytest

import reports
from reports import claims, corners, overview, passes, readme, rows, sections
from tests.report_data import Builder, ResultSet
from tests.test_corners import corner_set

pytestmark = pytest.mark.usefixtures("launches_show")
TEXT = {"ab" * 32: 120_000}  # bytes; 500,000 tokens of 8 x 128 a step are 488.3 steps and 4.17 passes
TOLD = "488 steps, 4.2 passes over 120k bytes"


def known(sizes: dict[str, int] | None = None) -> ResultSet:
    return dataclasses.replace(corner_set().build(), training_bytes=TEXT if sizes is None else sizes)


def test_the_quality_corner_says_steps_and_passes_on_every_page(tmp_path: pathlib.Path) -> None:
    told = f"after 500,000 training tokens of python-docs ({TOLD}), 3 seeds"
    assert told in readme.numbers([known()])
    (found,) = overview.best([known()])
    assert told in found["lines"][2][3]
    reports.build([known()], tmp_path)
    for name in ("triangle.html", "index.html", "experiment-triangle.html"):
        assert told in html.unescape((tmp_path / name).read_text(encoding="utf-8")), name
    quality = sections.figure("quality", rows.View(known()), "key")
    assert quality is not None
    assert f"Trained for {TOLD}." in quality.note


def test_without_the_size_of_the_text_steps_alone_are_told() -> None:
    for sizes in ({}, {"cd" * 32: 5}):
        assert "python-docs (488 steps), 3 seeds" in readme.numbers([known(sizes)])


def test_budgets_that_give_models_unequal_steps_show_the_fewest_and_the_most() -> None:
    made = Builder()
    for label, tokens in (("retnet", 500_000), ("rwkv", 1_024)):
        made.language(label, 0, 1e-3, 2.0, training_tokens=tokens)
    one = dataclasses.replace(made.build(), training_bytes=TEXT)
    assert passes.told(one, one.points) == "1 to 488 steps, 0.0085 to 4.2 passes over 120k bytes"
    assert passes.told(one, one.points[one.points["label"] == "rwkv"]) == "1 step, 0.0085 passes over 120k bytes"
    nothing = pd.array([None] * len(one.points), "Int64")
    unsaid = one.points.assign(training_batch_size=nothing)
    assert passes.told(one, unsaid) == "0.0085 to 4.2 passes over 120k bytes"
    assert passes.told(dataclasses.replace(one, training_bytes={}), unsaid) == ""


def test_a_claim_on_quality_says_in_short_after_how_many_steps() -> None:
    made = Builder()
    for seed in range(3):
        made.language("retnet", seed, 1e-3, 2.0)
        made.language("rwkv", seed, 1e-3, 2.5)
    found = claims.load("retnet_rwkv").judge(made.build())
    assert found is not None
    assert found.short == "-20.00% bits per byte after 488 steps, 2 against 2.5"


def test_the_committed_triangle_of_the_gpu_is_of_few_passes() -> None:
    from harness import record

    one = record.load(record.FOLDER / "triangle_gpu" / "nvidia-h200")
    found = corners.measure(one)
    assert found is not None
    assert "training tokens of python-docs (244 steps, 4.2 passes over 1.88M bytes)" in found.where["quality"].whole
