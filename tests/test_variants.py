"""Which implementation and options were measured is told where numbers are."""

import html
import pathlib

import pytest

import reports
from reports import readme, sections, variants
from tests.report_data import ResultSet
from tests.test_corners import corner_set

pytestmark = pytest.mark.usefixtures("launches_show")
TOLD = (
    "Options as run: RetNet ffn=swiglu, gamma=0.5,0.9; RWKV-4 ffn=channel_mix, init=declared. "
    "The same in every model that has them: chunk_size=64, recompute=false."
)


def chosen(drop: tuple[str, ...] = ()) -> ResultSet:
    """Options of both, of one alone, and of both alike; what is in `drop` is of an older file."""
    made = corner_set()
    own = {"retnet": {"ffn": "swiglu", "gamma": "0.5,0.9"}, "rwkv": {"ffn": "channel_mix", "init": "declared"}}
    for row in made.rows["points"]:
        given = {"chunk_size": "64", "recompute": "false", **own[row["label"]]}
        row |= {f"option.{name}": value for name, value in given.items() if name not in drop}
    return made.build()


def test_every_option_that_has_a_value_stands_in_the_table_of_what_each_model_got() -> None:
    table = sections.got(chosen())
    assert table is not None
    assert table.head[-1] == "options"
    assert [line[-1] for line in table.body] == [
        "chunk_size=64, ffn=swiglu, gamma=0.5,0.9, recompute=false",
        "chunk_size=64, ffn=channel_mix, init=declared, recompute=false",
    ]
    older = sections.got(corner_set().build())
    assert older is not None
    assert "options" not in older.head


def test_entries_of_one_size_with_other_options_have_a_line_each() -> None:
    one = chosen()
    points = one.points.assign(**{"option.ffn": one.points["option.ffn"].where(one.points["seed"] == 0, "gelu")})
    table = sections.got(ResultSet(**{**vars(one), "points": points}))
    assert table is not None
    assert [(line[0], "ffn=gelu" in line[-1]) for line in table.body].count(("retnet", True)) == 1
    assert "RetNet ffn=gelu or swiglu," in variants.told(points)


def test_the_readme_and_the_triangle_page_say_which_variants_they_show(tmp_path: pathlib.Path) -> None:
    assert f"|\n\n{TOLD}\n" in readme.numbers([chosen()])
    reports.build([chosen()], tmp_path)
    page = html.unescape((tmp_path / "triangle.html").read_text(encoding="utf-8"))
    assert page.count(f'<p class="note">{TOLD}</p>') == 1
    assert "option" not in readme.numbers([corner_set().build()]).lower()


def test_of_one_option_alone_it_is_said_in_the_singular_and_of_one_model_nothing_is_shared() -> None:
    one = chosen(drop=("recompute",))
    assert "The same in every model that has it: chunk_size=64." in variants.told(one.points)
    alone = one.points[one.points["model"] == "rwkv"]
    assert variants.told(alone) == "Options as run: RWKV-4 chunk_size=64, ffn=channel_mix, init=declared."
