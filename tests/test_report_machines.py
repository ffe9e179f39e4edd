"""Rows of several machines in one folder: the pages say whose models are compared across them."""

import dataclasses
import html
import pathlib
import re

import pandas as pd
import pytest

from reports import claims, corners, machines, pages, provenance, readme
from tests.report_data import Builder, ResultSet, hexed, triangle


def on(made: Builder, machine: str, *labels: str, measures: tuple[str, ...] = ("training",), commit: str = "") -> None:
    """Rows of these labels, made on a machine of that name."""
    here = hexed("environment", machine, commit)
    told = {"environment": here, "machine": machine * 16, "commit": commit or f"{machine}0123456789"}
    made.rows["environments"].append(made._environment() | told)
    for label in labels:
        for measure in measures:
            for length in (1024, 2048):
                made.speed(measure, label, length, 2, 120.0 if label == "retnet" else 100.0, environment=here)


def apart(*measures: str) -> ResultSet:
    made = Builder("sweep", "NVIDIA H200")
    on(made, "b", "retnet", "rwkv", measures=measures)
    on(made, "a", "transformer cache=a", "transformer cache=b", measures=measures)
    return made.build()


A, B = "a" * 6, "b" * 6
NAMED = f"Machines: {A} (NVIDIA H200, commit a012345) and {B} (NVIDIA H200, commit b012345)."


def test_a_page_names_the_measures_and_models_that_are_compared_across_machines() -> None:
    told = machines.compared(apart("training", "prefill"))
    assert told == (
        "Rows of different machines are compared, so a difference may be one between machines: in prefill and training "
        f"Transformer of machine {A} with RetNet and RWKV-4 of machine {B}. {NAMED}"
    )
    assert told in provenance.cautions(apart("training", "prefill"))


def test_a_commit_whose_tree_had_changes_is_not_named_alone() -> None:
    one = apart("training")
    environments = one.environments.assign(dirty=["true", "false"])
    told = machines.compared(dataclasses.replace(one, environments=environments))
    assert f"{A} (NVIDIA H200, commit a012345) and {B} (NVIDIA H200, commit b012345 with changes)." in told


def test_rows_of_one_machine_need_no_word() -> None:
    made = Builder("sweep", "NVIDIA H200")
    on(made, "a", "retnet", commit="one")
    on(made, "a", "transformer", commit="two")
    assert machines.compared(made.build()) == ""
    assert machines.compared(triangle()) == ""


def test_measures_that_compare_no_models_need_no_word() -> None:
    made = Builder("sweep", "NVIDIA H200")
    on(made, "a", "retnet")
    on(made, "b")
    made.point("forms", "rwkv", environment=made.rows["environments"][-1]["environment"])
    assert machines.compared(made.build()) == ""


def test_entries_of_one_model_on_two_machines_are_named_and_rows_of_one_entry_counted() -> None:
    made = Builder("sweep", "NVIDIA H200")
    on(made, "a", "transformer cache=a")
    on(made, "b", "transformer cache=b", "rwkv")
    told = machines.compared(made.build())
    assert f"in training Transformer cache=a of machine {A} with RWKV-4 and Transformer cache=b of machine {B}." in told
    made = Builder("sweep", "NVIDIA H200")
    on(made, "a", "rwkv", "retnet")
    made.speed("training", "rwkv", 4096, 2, 90.0, environment=made.rows["environments"][0]["environment"])
    on(made, "b")
    made.speed("training", "rwkv", 8192, 2, 90.0, environment=made.rows["environments"][1]["environment"])
    assert f"in training 5 rows of machine {A} with 1 row of machine {B}." in machines.compared(made.build())


def test_only_rows_that_hold_and_have_a_value_are_compared() -> None:
    made = Builder("sweep", "NVIDIA H200")
    on(made, "a", "retnet")
    on(made, "b")
    other = made.rows["environments"][-1]["environment"]
    made.point("training", "rwkv", "oom", "no room", sequence_length=2048, batch_size=2, environment=other)
    assert machines.compared(made.build()) == ""


def test_a_claim_says_that_its_rows_are_of_different_machines() -> None:
    claim = claims.load("training_throughput")
    finding = claims.judged(claim, apart("training"))
    assert finding is not None
    alone = claim.judge(apart("training"))
    assert alone is not None
    assert finding.text == (
        f"{alone.text} This compares rows of different machines: in training at length 2,048, batch 2, Transformer "
        f"of machine {A} with RetNet of machine {B}. {NAMED}"
    )
    assert finding.verdict == alone.verdict
    made = Builder("sweep", "NVIDIA H200")
    on(made, "a", "retnet", "transformer")
    finding = claims.judged(claim, made.build())
    assert finding is not None
    assert "machines" not in finding.text
    assert claims.judged(claim, Builder().build()) is None


def moved(which: str, one: ResultSet) -> ResultSet:
    """The same with the rows that a query names on another machine."""
    there = one.points.index.isin(one.points.query(which).index)
    points = one.points.assign(environment=one.points["environment"].where(~there, "f" * 16))
    other = one.environments.assign(environment="f" * 16, machine="f" * 16)
    return dataclasses.replace(one, points=points, environments=pd.concat([one.environments, other]))


@pytest.mark.parametrize("which", ["measure == 'training'", "measure != 'decode'", "measure == 'language' & seed == 1"])
def test_where_nothing_is_compared_across_machines_no_word_is_needed(which: str) -> None:
    """All speeds of one corner on one machine, all rows of one seed on one."""
    found = corners.measure(moved(which, triangle()))
    assert found is not None
    assert machines.behind(moved(which, triangle()), found.table) == ""


def test_only_the_groups_that_are_compared_across_machines_are_told() -> None:
    one = moved("measure == 'language' & seed == 1 & label != 'rwkv' | measure == 'training'", triangle())
    told = readme.numbers([one])
    (line,) = [line for line in told.splitlines() if line.startswith("This compares rows of different machines: ")]
    usual = one.environments["machine"].iloc[0][:6]
    assert line.partition(". Machines:")[0].endswith(
        f": in language of seed 1, RWKV-4 of machine {usual} with AFT, Linear attention, RetNet and Transformer of "
        "machine ffffff"
    )


def test_a_line_of_several_cells_compares_a_model_with_itself() -> None:
    """As a slope over the length does, whatever stands beside it."""
    made = Builder("sweep", "NVIDIA H200")
    on(made, "b", "retnet", measures=("decode",))
    one = made.build()
    for name in ("c", "d"):
        one = dataclasses.replace(one, environments=pd.concat([one.environments, one.environments.assign(
            environment=name * 16, machine=name * 16)]))  # fmt: skip
    one = dataclasses.replace(one, points=one.points.assign(environment=["c" * 16, "d" * 16]))
    slope = pd.DataFrame({"point": [" ".join(one.points["point"])]})
    assert machines.behind(one, slope).startswith(
        "This compares rows of different machines: in decode of RetNet at length 1,024 and 2,048, batch 2, "
        "1 row of machine cccccc with 1 row of machine dddddd. Machines: "
    )
    assert machines.behind(one, one.points[["point"]]) == "", "a line each: nothing is compared"


def test_a_table_of_the_readme_says_it_too() -> None:
    one = triangle()
    assert "different machines" not in readme.numbers([one])
    other = one.environments.assign(environment="f" * 16, machine="f" * 16)
    points = one.points.assign(
        environment=one.points["environment"].where(one.points["label"] != "rwkv", "f" * 16),
    )
    told = readme.numbers(
        [dataclasses.replace(one, points=points, environments=pd.concat([one.environments, other], ignore_index=True))]
    )
    assert "This compares rows of different machines: in language of seed 0, 1 and 2, AFT, " in told
    assert "; in training at length 2,048, batch 8, AFT, " in told
    assert "RWKV-4 of machine ffffff. Machines: " in told


def test_the_triangle_page_counts_the_rows_that_the_readme_counts(tmp_path: pathlib.Path) -> None:
    """Those behind the corners, which both show: not trials of other rates, or lengths that no corner is at."""
    one = triangle()
    shown = one.points["label"].eq("rwkv") & one.points["seed"].gt(0)
    unseen = one.points["role"].eq("trial") & one.points["learning_rate"].eq(3e-4)
    unseen |= one.points["measure"].eq("training") & one.points["sequence_length"].eq(128)
    where = one.points["environment"].where(~shown, "e" * 16).where(~unseen, "f" * 16)
    others = [one.environments.assign(environment=letter * 16, machine=letter * 16) for letter in "ef"]
    environments = pd.concat([one.environments, *others], ignore_index=True)
    mixed = dataclasses.replace(one, points=one.points.assign(environment=where), environments=environments)
    pages.write([mixed], tmp_path)
    said = {}
    for name in ("triangle.html", "experiment-triangle.html"):
        told = html.unescape((tmp_path / name).read_text(encoding="utf-8"))
        said[name] = [line for line in re.findall('<p class="caution">(.*?)</p>', told) if "different machines" in line]
    (counted,) = [line for line in readme.numbers([mixed]).splitlines() if "different machines" in line]
    assert said["triangle.html"] == [counted]
    assert "in language of seed 1 and 2, AFT, " in counted
    assert "RWKV-4 of machine eeeeee. Machines: " in counted
    assert "ffffff" not in counted
    assert "ffffff" in said["experiment-triangle.html"][0], "of the whole experiment, by measure"
