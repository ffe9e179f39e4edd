"""What of RetNet's lead over linear attention needs no decay: from two experiments, where they were trained alike."""

import html
import pathlib

import pandas as pd
import pytest

import reports
from reports import answers, gap
from tests.claim_cases import bits
from tests.report_data import Builder, ResultSet


def trained(experiment: str, **means: float) -> ResultSet:
    builder = Builder(experiment)
    bits(**means)(builder)
    return builder.build()


TWO, ONE = {"retnet": 2.0, "linear_attention": 2.5}, {"retnet__gamma_is_none": 2.1, "retnet__gamma_is_paper": 2.0}
LEAD, BARE = trained("lead", **TWO), trained("bare", **ONE)
TOLD = (
    "At 400k parameters and 500k tokens: linear attention is at 2.51 bits per byte and RetNet at 2.01 (lead), RetNet "
    "without any decay, of the same shape and text, at 2.11 (bare); 80% of the difference needs no decay."
)


def test_the_share_is_that_of_the_means() -> None:
    assert gap.told([LEAD, BARE]) == [TOLD]
    assert gap.told([LEAD]) == gap.told([BARE]) == gap.told([]) == []


def test_of_no_lead_there_is_no_share() -> None:
    (sentence,) = gap.told([trained("lead", retnet=2.5, linear_attention=2.0), BARE])
    assert sentence.endswith("at 2.11 (bare).")


@pytest.mark.parametrize("column", gap.ALIKE)
def test_models_that_were_trained_otherwise_are_not_set_beside_them(column: str) -> None:
    other = trained("bare", **ONE)
    other.points[column] = 7 if pd.api.types.is_numeric_dtype(other.points[column]) else "other"
    assert gap.told([LEAD, other]) == []


def test_the_largest_models_come_first() -> None:
    large = [trained(f"large {name}", **means) for name, means in (("lead", TWO), ("bare", ONE))]
    for one in large:
        one.points[["parameters", "parameters_target"]] *= 10
    found = gap.told([LEAD, BARE, *large])
    assert ["large" in sentence for sentence in found] == [True, False]


def test_readme_and_index_tell_it(tmp_path: pathlib.Path) -> None:
    assert f"  - {TOLD}\n" in answers.markdown([LEAD, BARE])
    reports.build([LEAD, BARE], tmp_path)
    assert f"<li>{TOLD}</li>" in html.unescape((tmp_path / "index.html").read_text(encoding="utf-8"))
