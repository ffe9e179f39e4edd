"""What the index says before its list: whose results these are, and who is best at what, both from the rows."""

import html
import pathlib

import pytest

import reports
from reports import launches, overview
from tests.report_data import Builder, ResultSet, triangle
from tests.test_corners import corner_set, on_cuda

pytestmark = pytest.mark.usefixtures("launches_show")


def index(out: pathlib.Path, *sets: ResultSet) -> str:
    reports.build(list(sets), out)
    return html.unescape((out / "index.html").read_text(encoding="utf-8"))


def test_the_index_names_the_models_that_the_rows_are_of(tmp_path: pathlib.Path) -> None:
    here = index(tmp_path, triangle(models=("rwkv", "retnet")), Builder("empty").build())
    assert '<p class="lead">RetNet and RWKV-4 under one stated budget: which trains fast, ' in here
    assert "AFT" not in here
    one = index(tmp_path, triangle(models=("rwkv",)))
    assert '<p class="lead">RWKV-4 under a stated budget: how fast does it train' in one
    assert "Which one for what?" not in one
    assert '<p class="lead">Sequence models under one stated budget' in index(tmp_path)


def test_the_index_tells_the_best_at_each_corner_and_the_next(tmp_path: pathlib.Path) -> None:
    """Medians of three speeds that the builder spreads by up to 2%."""
    (found,) = overview.best([corner_set().build()])
    told = [[cell.partition(",")[0] for cell in line[:3]] for line in found["lines"]]
    assert told == [
        ["Trains fastest", "RetNet", "RWKV-4"],
        ["Decodes fastest", "RWKV-4", "RetNet"],
        ["Predicts best", "RetNet", "RWKV-4"],
        ["Largest weakest corner", "RetNet", "RWKV-4"],
    ]
    assert found["lines"][2][1:3] == ["RetNet, 2.375 bits per byte [1.00]", "RWKV-4, 3.375 bits per byte [0.50]"]
    assert found["lines"][0][3] == "length 64, batch 2, float32 weights and optimiser, where 2 of 2 models ran"
    shown = index(tmp_path, corner_set().build())
    assert all(cell in shown for line in found["lines"] for cell in line)


def test_what_ranks_no_architectures_is_told_beside_the_best() -> None:
    (found,) = overview.best([on_cuda("false").build()])
    assert [launches.CAUTION in line[3] for line in found["lines"]] == [False, True, False, False]


def test_the_index_tells_who_would_be_best_at_the_shortest_length() -> None:
    """Of the same corner: a model that is good at long contexts need not be at short ones."""
    made = corner_set()
    for label, speed in (("retnet", 9.0), ("rwkv", 10.0)):
        made.speed("training", label, 16, 2, speed)
        made.point("training", label, "oom", "no room", sequence_length=128, batch_size=2)
    (found,) = overview.best([made.build()])
    assert found["lines"][0][3] == (
        "length 64, batch 2, float32 weights and optimiser, where 2 of 2 models ran; at length 16, batch 2: "
        "RWKV-4 1.00, RetNet 0.90"
    )


def test_where_one_alone_has_a_corner_there_is_no_next() -> None:
    made = corner_set()
    made.rows["points"] = [row for row in made.rows["points"] if (row["measure"], row["label"]) != ("decode", "rwkv")]
    (found,) = overview.best([made.build()])
    assert [line[2] == overview.NONE for line in found["lines"]] == [False, True, False, True]
