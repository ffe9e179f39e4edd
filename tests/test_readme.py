"""What the README and CONTRIBUTING.md promise holds: their commands, their example model, their numbers and links."""

import dataclasses
import os
import re
import shlex
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from typer.testing import CliRunner

import models
from harness import measures, record
from reports import launches, readme
from tests import report_data
from tests.tree import ROOT

DOCUMENTS = ("README.md", "CONTRIBUTING.md")
FEW = ("retnet", "rwkv")  # models, where any will do
CONTRACT = ("test_models.py", "test_states.py", "test_costs.py")


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name, language):
    """The fenced blocks in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text(name), flags=re.M | re.S)


def commands():
    """Every `python -m harness ...` in a block or in backquotes, once, without its comment."""
    whole = "\n".join(text(name) for name in DOCUMENTS)
    found = re.findall(r"(?:^|`|bin/)python -m harness ?([^#`\n]*)", whole, flags=re.M)
    return sorted({" ".join(each.split()) for each in found} - {""})


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_make_target_exists(name):
    called = set(re.findall(r"(?:^|`|&& )make ([a-z]+)", text(name), flags=re.M))
    assert {"test"} <= called
    assert called <= set(re.findall(r"^([a-z]+):", text("Makefile"), flags=re.M))


def test_the_two_commands_come_first():
    assert [line.split("#")[0].strip() for line in blocks("README.md", "sh")[0].splitlines()] == [
        "make run",
        "make test",
    ]


@pytest.mark.parametrize("command", commands())
def test_every_harness_command_is_accepted(command, tmp_path, monkeypatch):
    """As it stands, but nothing is run, the doctor looks for a second, the CPU stands in for a GPU and a model that is
    there for the example."""
    from harness import doctor
    from harness.cli import app

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(doctor, "AA_SECONDS", 1.0)
    words = ["cpu" if word == "cuda" else word for word in shlex.split(command.replace("moving_average", "aft"))]
    if words[0] == "run" and len(words) > 1:
        words += [] if "--dry-run" in words else ["--dry-run"]
    elif words[0] == "gate":  # it would run for minutes
        words = [*words, "--help"]
    elif words in (["report"], ["run"], ["validate"]):
        words += ["--help"]
    ran = CliRunner().invoke(app, words)
    assert ran.exit_code == 0, f"{words}: {ran.output}{ran.exception!r}"
    assert ran.output.strip()


def test_every_command_is_in_the_readme():
    from harness.cli import app

    told = re.findall(r"(?:^|`)python -m harness (\w+)", text("README.md"), flags=re.M)
    known = {each.name or each.callback.__name__ for each in app.registered_commands}
    assert len(known) >= 8
    assert not known - set(told)


def test_every_measure_is_in_the_table_of_measures():
    (section,) = re.findall(r"^## What is measured\n(.*?)^## ", text("README.md"), flags=re.M | re.S)
    told = re.findall(r"^\| `(\w+)` \| \w.* \|$", section, flags=re.M)
    assert sorted(told) == measures.names()


def test_there_are_commands_to_check():
    assert len(commands()) >= 8
    assert any(command.startswith("run experiments/triangle.yaml --set") for command in commands())


def test_the_example_experiment_is_valid(tmp_path):
    from harness import experiment, plan

    (example,) = blocks("README.md", "yaml")
    file = tmp_path / "example.yaml"
    file.write_text(example)
    loaded = experiment.load(file)
    assert loaded.question.startswith("Does RetNet")
    assert {point.model for point in plan.points(loaded, "cpu")} == {"retnet", "transformer"}


def test_the_example_model_passes_the_contract(tmp_path):
    """The one new file, no other edit, and every contract test that it is subject to."""
    (example,) = blocks("README.md", "python")
    for room in ("models", "tests"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__", "benchmarks"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "models/moving_average.py").write_text(example)
    lint = [sys.executable, "-m", "ruff", "check", "--no-cache", "models/moving_average.py"]
    linted = subprocess.run(lint, cwd=tmp_path, capture_output=True, text=True)
    assert linted.returncode == 0, linted.stdout
    tests = [f"tests/{name}" for name in CONTRACT]
    asked = [sys.executable, "-m", "pytest", "-k", "moving_average", "-p", "no:cacheprovider", *tests]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    ran = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, env=clean)
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", ran.stdout).group(1)) > 40


def test_whoever_adds_a_model_is_told_to_run_its_contract():
    (told,) = re.findall(r"^python -m pytest ((?:tests/\w+\.py )+)-k moving_average$", text("README.md"), flags=re.M)
    assert told.split() == [f"tests/{name}" for name in CONTRACT]


def test_every_file_of_a_results_folder_is_named(committed):
    found = {path.name for folder in record.folders(committed) for path in folder.iterdir()}
    assert {"points.csv", "planned.csv", "texts.json"} <= found
    assert not [name for name in sorted(found) if f"`{name}`" not in text("README.md")]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_file_that_is_named_exists(name):
    linked = set(re.findall(r"\]\(([^)#:]+)\)", text(name)))
    named = set(re.findall(r"`((?:\.?[\w-]+/)+[\w.-]+|[\w-]+\.(?:md|txt|yml|cff|toml))`", text(name)))
    made = {".venv/bin/python", "models/moving_average.py", "reports/triangle.html", "reports/index.html"}
    inside = {"experiment.yaml"} | {f"{table}.csv" for table in ("points", "samples", "curves", "environments")}
    missing = [each for each in (linked | named) - made - inside if not (ROOT / each).exists()]
    assert linked | named
    assert not missing


# Numbers ---------------------------------------------------------------------------------------------------------


def test_the_numbers_are_those_of_the_committed_results(whole):
    wanted = readme.numbers(whole)
    assert readme.PART.read() == wanted, "run `make readme` and commit README.md with the results"


def test_the_predictions_are_those_of_the_committed_results(committed, predicted, monkeypatch):
    from harness import accuracy, accuracy_table

    monkeypatch.setattr(accuracy, "load", {committed: predicted}.get)
    wanted = accuracy_table.markdown(committed)
    found = accuracy_table.PART.read()
    assert found == wanted, "run `make readme` and commit README.md with the results"
    assert found.count("\n| cpu-") >= 3, "of steps, prompts and tokens"
    assert accuracy_table.QUANTITIES.keys() == accuracy.PREDICTED.keys(), "nothing that is predicted is left out"
    assert all(f", {what} |" in found for what in accuracy_table.QUANTITIES.values())


def cells(numbers):
    """The table of one device: a dict per line."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in numbers.splitlines() if line[:1] == "|"]
    return {line[0]: dict(zip(lines[0], line, strict=True)) for line in lines[2:]}


def test_a_line_says_what_the_model_got():
    numbers = readme.numbers([report_data.triangle()])
    found = cells(numbers)
    assert found.keys() == {models.card(name)["title"] for name in models.names() if name in report_data.MODELS}
    line = found["RetNet"]
    assert line["parameters"] == "401,000"
    assert line["bits per byte (range over seeds)"] == "2.231 (2.220 to 2.242)"
    assert line["decode state"] == "1.69 MiB"  # 2 * 3 * 96 * 4 * 48 bytes for each of 16 sequences
    assert 43_000 < float(line["training tokens/s"].replace(",", "")) < 46_000
    assert 3.5 < float(line["ms per decode step"]) < 3.9
    assert line["training, decode, quality"] == "0.90 / 0.90 / 1.00"
    assert (
        "held-out text at the training length 128, after 500,000 training tokens of python-docs (488 steps), 3 seeds, "
        in numbers
    )
    assert "uncommitted tree" not in numbers
    assert "length 2,048" in numbers
    assert "batch 16" in numbers


def test_the_order_of_the_result_sets_does_not_matter_and_other_experiments_do_not_count():
    sets = [report_data.triangle(device=f"cpu-{name}", models=FEW) for name in "ba"]
    other = report_data.triangle(experiment="length_sweep", device="cpu-0", models=FEW)
    numbers = readme.numbers(sets)
    assert numbers == readme.numbers([other, *reversed(sets)])
    assert numbers.index("cpu-a") < numbers.index("cpu-b")
    assert readme.numbers([other]) == readme.NOTHING


def test_what_was_not_measured_is_an_empty_cell_and_a_gap():
    whole = report_data.triangle()
    lost = whole.points["label"].eq("rwkv") & whole.points["measure"].eq("language")
    found = cells(readme.numbers([dataclasses.replace(whole, points=whole.points[~lost])]))
    assert found["RWKV-4"]["bits per byte (range over seeds)"] == ""
    assert found["RWKV-4"]["training, decode, quality"].endswith("/ gap")
    assert found["RetNet"]["training, decode, quality"].count("gap") == 0


def test_numbers_go_between_the_marks_and_nowhere_else(tmp_path):
    part = dataclasses.replace(readme.PART, path=tmp_path / "README.md")
    for old in ("old | numbers\n", ""):
        part.path.write_text(f"before\n{part.begin}{old}{part.end}after | old\n")
        part.write(readme.NOTHING)
        assert part.path.read_text() == f"before\n{part.begin}{readme.NOTHING}{part.end}after | old\n"
        assert part.read() == readme.NOTHING


@pytest.mark.parametrize("missing", [readme.PART.begin, readme.PART.end])
def test_a_missing_mark_is_named(tmp_path, missing):
    part = dataclasses.replace(readme.PART, path=tmp_path / "README.md")
    part.path.write_text(f"before\n{part.begin}numbers\n{part.end}after\n".replace(missing, ""))
    for use in (part.read, lambda: part.write("new")):
        with pytest.raises(ValueError, match=missing.strip()):
            use()


def test_a_table_says_where_its_own_points_come_from():
    """Not where the last run was: a later one on another machine, of points that are not shown, changes nothing."""
    one = report_data.triangle(models=FEW)
    last = one.environments.iloc[[0]].assign(environment="f" * 16, device_name="Another", cores=64, torch="9.9")
    later = dataclasses.replace(one, environments=pd.concat([one.environments, last]))
    told = readme.numbers([later])
    assert told == readme.numbers([one])
    assert "**cpu-made-up**, 2 cores, torch 2.13.0 (`results/triangle/" in told
    dirty = dataclasses.replace(one, environments=one.environments.assign(dirty="true"))
    assert "torch 2.13.0, uncommitted tree (`results/" in readme.numbers([dirty])


@pytest.mark.usefixtures("launches_show")
def test_a_table_of_launches_says_so_under_it():
    one = report_data.triangle(models=FEW)
    assert launches.CAUTION not in readme.numbers([one])
    cuda = dataclasses.replace(one, points=one.points.assign(device="cuda", graph="false"))
    said = f"Training was {launches.CAUTION} Decode was {launches.CAUTION}"
    assert readme.numbers([cuda]).count(f"|\n\n{said}\n") == 1
    replayed = dataclasses.replace(one, points=one.points.assign(device="cuda", graph="true"))
    assert launches.CAUTION not in readme.numbers([replayed])
