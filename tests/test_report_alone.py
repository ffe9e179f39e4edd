"""One model alone is compared with nothing: no page, table or claim makes a finding of its being the best of one."""

import pathlib
import re

import pytest

import reports
from reports import claims, corners, readme
from tests.report_data import ResultSet, triangle

RANKS = ("largest weakest corner", "escapes", "Beaten by", "no other beats", "others in grey", "Weakest corner")


def drawn(one: ResultSet, out: pathlib.Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in reports.build([one], out)}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return drawn(triangle(models=("rwkv",)), tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return drawn(triangle(models=("rwkv", "retnet")), tmp_path_factory.mktemp("several"))


@pytest.mark.parametrize("page", ["triangle.html", "experiment-triangle.html"])
def test_a_page_of_one_model_ranks_nothing(page: str, alone: dict[str, str], several: dict[str, str]) -> None:
    assert f"{corners.ALONE} RWKV-4: training 1.00, decode 1.00, quality 1.00." in alone[page]
    for words in RANKS:
        assert words not in alone[page]
        assert words in several[page]
    assert corners.ALONE not in several[page]
    assert "this corner would be" not in alone[page]


def test_the_picture_of_one_model_says_that_its_ratios_are_1_by_definition(alone: dict[str, str]) -> None:
    description = re.findall(r"<desc[^>]*>([^<]*)</desc>", alone["triangle.svg"])
    assert any(each.startswith(corners.ALONE) for each in description)
    assert not any("largest" in each for each in description)


def test_the_readme_s_table_of_one_model_says_so_under_it() -> None:
    told = readme.numbers([triangle(models=("rwkv",))])
    assert f"|\n\n{corners.ALONE}\n" in told
    assert "this corner would be" not in told
    assert corners.ALONE not in readme.numbers([triangle(models=("rwkv", "retnet"))])


def test_of_retnet_alone_no_row_decides_whether_it_has_all_three_corners() -> None:
    found = claims.load("triangle_whole").judge(triangle(models=("retnet",)))
    assert found is not None
    assert (found.verdict, found.text) == (claims.UNTESTABLE, corners.ALONE)
