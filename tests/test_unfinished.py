"""A run that is not done is not in the triangle yet: the triangle's page and the index say so, and how to go on."""

import dataclasses
import html
import pathlib
import re

import pytest

import reports
from harness import planned
from reports import corners, unfinished
from tests.report_data import Builder, ResultSet
from tests.test_corners import corner_set

pytestmark = pytest.mark.usefixtures("launches_show")


def stopped(experiment: str = "triangle", device: str = "cpu-slow", measures: tuple[str, ...] = ()) -> Builder:
    """What a run has that got as far as these measures."""
    whole = corner_set(experiment)
    made = Builder(experiment, device)
    rows = (row | {"environment": made.environment} for row in whole.rows["points"])
    made.rows["points"] = [row for row in rows if row["measure"] in measures]
    there = {row["point"] for row in made.rows["points"]}
    made.rows["samples"] = [row for row in whole.rows["samples"] if row["point"] in there]
    return made


def planning(one: ResultSet) -> ResultSet:
    """The same with the plan of all that `corner_set` has."""
    plan = corner_set().build().points[list(planned.TYPES)].astype(planned.TYPES)
    plan.loc[plan["role"] == "chosen", planned.RATE] = float("nan")
    return dataclasses.replace(one, planned=plan)


def paragraphs(out: pathlib.Path, *sets: ResultSet) -> dict[str, list[str]]:
    """What each of the two pages says is left out, without its tags."""
    reports.build(list(sets), out)
    told = {name: (out / name).read_text(encoding="utf-8") for name in ("triangle.html", "index.html")}
    found = {
        name: re.findall(r'<p class="caution">(.*? is left out here: .*)</p>', page) for name, page in told.items()
    }
    return {name: [html.unescape(re.sub("<.*?>", "", line)) for line in lines] for name, lines in found.items()}


GOES_ON = (
    "make run or python -m harness run experiments/triangle.yaml goes on from there; then python -m harness report "
    "draws the pages anew."
)


def test_a_machine_that_is_not_done_is_told_on_both_pages(tmp_path: pathlib.Path) -> None:
    partly = planning(stopped(measures=("training", "decode")).build())
    line = (
        "triangle on cpu-slow is left out here: 4 of 10 points have a row, and there is no quality (0 of 6 points of "
        f"language) yet. {GOES_ON}"
    )
    assert paragraphs(tmp_path / "beside", corner_set().build(), partly) == {
        "triangle.html": [line],
        "index.html": [line],
    }
    assert paragraphs(tmp_path / "alone", partly) == {"triangle.html": [line], "index.html": [line]}
    assert "No experiment has all three" not in (tmp_path / "alone" / "triangle.html").read_text(encoding="utf-8")
    assert "Which one for what?" in (tmp_path / "alone" / "index.html").read_text(encoding="utf-8")


def test_each_corner_that_lacks_is_told_with_how_its_points_ended() -> None:
    made = stopped("triangle_gpu", measures=("training",))
    for rate in (1e-3, 1e-2):
        made.point("language", "retnet", "error", "diverged", learning_rate=rate, role="trial")
    (line,) = unfinished.left([made.build()])
    assert line["text"] == (
        "4 points have a row, and there is no decode speed (0 points of decode) and no quality (2 points of language, "
        "2 failed) yet."
    )
    assert line["commands"] == ["python -m harness run experiments/triangle_gpu.yaml"]


def test_where_all_points_have_a_row_no_command_goes_on() -> None:
    made = corner_set()
    for row in made.rows["points"]:
        row |= {"status": "oom", "reason": "no room"} if row["measure"] == "decode" else {}
    (line,) = unfinished.left([planning(made.build())])
    assert line["text"] == (
        "10 of 10 points have a row, and there is no decode speed (2 of 2 points of decode, 2 out of memory) yet."
    )
    assert line["commands"] == []


def test_other_experiments_count_where_the_triangle_s_own_has_no_results() -> None:
    """And of these only such as are to have all three corners."""
    mine, speeds = planning(stopped("mine", measures=("training",)).build()), stopped("speeds", measures=("decode",))
    assert [line["experiment"] for line in unfinished.left([mine, speeds.build()])] == ["mine"]
    assert unfinished.left([mine, speeds.build(), planning(corner_set().build())]) == []


def test_names_stay_text(tmp_path: pathlib.Path) -> None:
    assert corners.lacking(stopped(device="<i>").build()) == list(corners.CORNERS)
    paragraphs(tmp_path, stopped(device="<i>", measures=("decode",)).build())
    assert all("<i>" not in (tmp_path / name).read_text(encoding="utf-8") for name in ("triangle.html", "index.html"))
