"""The files around the code agree: pyproject.toml, constraints.txt, environment.yml, install.py, Makefile and CI."""

import importlib.metadata
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import typer
import yaml

import install
from tests.gating import commit, git
from tests.tree import ROOMS, ROOT, imports, name, normal, project, python, standard, tracked

CONDA = {"pytorch": "torch"}  # where conda-forge has another name for the same thing


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def pins():
    lines = [line for line in text("constraints.txt").splitlines() if line and not line.startswith("#")]
    return dict(line.split("==") for line in lines)


def requirements(*extras):
    told = project()["project"]
    return [*told["dependencies"], *(each for extra in extras for each in told["optional-dependencies"][extra])]


def installed(package):
    """The version that this Python has, without the name of the build; None where it has none."""
    try:
        return importlib.metadata.version(package).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return None


def by_name(lines):
    """Each package with its range, as conda and pip both write it."""
    split = [re.match(r"([\w.-]+)\s*([^;]*)", line).groups() for line in lines]
    return {CONDA.get(normal(name), normal(name)): sorted(told.strip().split(",")) for name, told in split}


# Versions --------------------------------------------------------------------------------------------------------


def test_conda_gets_what_pip_gets():
    conda = yaml.safe_load(text("environment.yml"))
    *plain, by_pip = conda["dependencies"]
    somewhere = [line for line in requirements("dev") if ";" in line]  # only pip knows "on Linux"
    wanted = by_name(set(requirements("dev")) - set(somewhere)) | {"python": [project()["project"]["requires-python"]]}
    assert by_name(plain) == wanted | {"pip": [""]}
    assert by_pip["pip"] == somewhere
    assert conda["name"] == project()["project"]["name"]


def test_every_dependency_is_pinned_exactly():
    lines = [line for line in text("constraints.txt").splitlines() if not line.startswith("#")]
    assert not [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[\w.]+", line)]
    assert lines == sorted(set(lines), key=lambda line: line.split("==")[0]), "unsorted or twice"
    extras = project()["project"]["optional-dependencies"]
    wanted = {normal(each) for each in [*requirements(*extras), *project()["build-system"]["requires"]]}
    assert wanted <= pins().keys(), f"run `make constraints`: no pin for {sorted(wanted - pins().keys())}"
    assert pins()["torch"] == install.TORCH.split("==")[1] == "2.13.0"


def test_what_they_need_in_turn_is_pinned_too():
    """Everything that the pinned packages ask for, all the way down, as far as they are installed here."""
    extras = project()["project"]["optional-dependencies"]
    waiting, seen, missing = [normal(each) for each in requirements(*extras)], set(), set()
    while waiting:
        package = waiting.pop()
        if package in seen:
            continue
        seen.add(package)
        if package not in pins():
            missing.add(package)
        if installed(package) == pins().get(package):
            waiting += [normal(each) for each in importlib.metadata.requires(package) or [] if ";" not in each]
    assert len(seen) > len(requirements("dev"))
    assert not missing, f"run `make constraints`: no pin for {sorted(missing)}"


def test_this_environment_has_the_pinned_versions():
    if not pathlib.Path(sys.prefix, "installed").exists():
        pytest.skip("this Python was not installed by `make`: run straight from the tree, it may have other versions")
    packages = [normal(each) for each in requirements("dev")]
    assert {each: installed(each) for each in packages} == {each: pins()[each] for each in packages}


@pytest.mark.parametrize("name", ["constraints.txt", "pyproject.toml", "environment.yml", "Makefile", "install.py"])
def test_no_file_says_where_packages_come_from(name):
    """Packages are asked for by name: where from is a setting of the reader's pip."""
    assert "://" not in text(name)
    assert "index-url" not in text(name)


def test_the_ranges_admit_the_pins():
    packaging = pytest.importorskip("packaging.requirements")
    for each in requirements(*project()["project"]["optional-dependencies"]):
        wanted = packaging.Requirement(each)
        assert wanted.specifier.contains(pins()[normal(wanted.name)]), each


def test_what_the_code_imports_is_declared():
    names = {"PIL": "pillow", "yaml": "pyyaml", "lm_eval": "lm-eval", "pynvml": "nvidia-ml-py"}
    declared = {normal(each) for each in requirements(*project()["project"]["optional-dependencies"])}
    ours = {*ROOMS, "install", *(path.stem for path in python("tests"))}
    used = {
        normal(names.get(each.room, each.room))
        for path in python()
        for each in imports(path)
        if not standard(each.room) and each.room not in ours
    }
    assert {"torch", "pandas"} <= used
    assert used - declared == set()


def test_an_installation_carries_every_file_that_the_packages_read():
    data = project()["tool"]["setuptools"]["package-data"]
    carried = {path for package, globs in data.items() for each in globs for path in (ROOT / package).glob(each)}
    drawn = {".html", ".svg"}  # results of ours, which no code reads
    read = [path for path in tracked() if path.relative_to(ROOT).parts[0] in ("models", "harness", "reports")]
    read = [path for path in read if path.suffix not in {".py", *drawn}]
    assert read
    assert {name(path) for path in read} <= {name(path) for path in carried}


def test_one_version():
    citation = yaml.safe_load(text("CITATION.cff"))
    assert citation["version"] == project()["project"]["version"]
    assert citation["title"] == project()["project"]["name"]


def test_the_licence_is_the_one_that_is_declared():
    assert text("LICENSE").startswith(f"{project()['project']['license']} License")
    assert yaml.safe_load(text("CITATION.cff"))["license"] == project()["project"]["license"]


# Commands --------------------------------------------------------------------------------------------------------


def targets():
    return set(re.findall(r"^([a-z]+):", text("Makefile"), flags=re.M))


def test_the_makefile_has_its_targets_and_helps_with_each():
    wanted = {"run", "test", "bench", "gate", "lint", "report", "readme", "smoke", "clean", "constraints"}
    assert wanted <= targets()
    told = set(re.findall(r'@echo "make (\w+)', text("Makefile")))
    assert wanted <= told <= targets()


def test_every_target_that_is_no_file_is_said_to_be_none():
    phony = set(re.search(r"^\.PHONY: (.*)$", text("Makefile"), flags=re.M).group(1).split())
    assert phony == targets()


def test_ci_lints_and_runs_the_test_command():
    script = text(".ci/run")
    assert re.findall(r"^make \w+", script, flags=re.M) == ["make lint", "make test"]
    assert os.access(ROOT / ".ci/run", os.X_OK)
    workflow = yaml.safe_load(text(".github/workflows/ci.yml"))
    steps = [step.get("run", "") for step in workflow["jobs"]["pinned"]["steps"]]
    assert "bash .ci/run" in steps


@pytest.fixture
def ci(tmp_path):
    """Runs `.ci/run` in a checkout whose `make` does nothing and whose gate ends with the code that is asked for."""

    def run(code, commits):
        for file in (".ci/run", "bin/make", ".venv/bin/python"):
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
        (tmp_path / "bin/make").write_text("#!/bin/sh\n")
        (tmp_path / ".venv/bin/python").write_text(f'#!/bin/sh\necho "asked: $*"\nexit {code}\n')
        for file in ("bin/make", ".venv/bin/python"):
            (tmp_path / file).chmod(0o755)
        if commits:
            git(tmp_path, "init", "--quiet")
        for number in range(commits):
            commit(tmp_path, str(number))
        env = os.environ | {
            "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "GIT_CEILING_DIRECTORIES": "/",
        }
        return subprocess.run(["bash", ".ci/run"], cwd=tmp_path, env=env, capture_output=True, text=True)

    return run


@pytest.mark.parametrize(("code", "wanted"), [(0, 0), (1, 1), (2, 2), (3, 3), (4, 0)])
def test_ci_fails_on_a_regression_and_says_loudly_what_it_could_not_tell(ci, code, wanted):
    ran = ci(code, commits=2)
    assert "asked: -m harness gate --base HEAD~1 --changed experiments/ci_throughput.yaml" in ran.stdout
    assert ran.returncode == wanted, ran.stderr
    assert ("THROUGHPUT INCONCLUSIVE" in ran.stdout) == (code == 4)


@pytest.mark.parametrize("commits", [0, 1])
def test_ci_passes_where_there_is_no_parent_and_says_so(ci, commits):
    ran = ci(1, commits)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("THROUGHPUT NOT COMPARED: there is no parent commit here")
    assert "asked" not in ran.stdout


def test_pull_requests_are_gated_and_keep_what_was_measured():
    workflow = yaml.safe_load(text(".github/workflows/throughput.yml"))
    steps = workflow["jobs"]["gate"]["steps"]
    assert steps[0]["with"] == {"fetch-depth": 0}
    (gate,) = [step["run"] for step in steps if "harness gate" in step.get("run", "")]
    (words,) = re.findall(r"python -m harness (gate .*?) \|\|", gate)
    from harness.cli import app

    command = typer.main.get_command(app).commands["gate"]
    told = command.make_context("gate", words.split()[1:]).params
    assert (str(told["file"]), told["base"]) == ("experiments/ci_throughput.yaml", "HEAD^1")
    kept = steps[-1]["with"]["path"].split()
    assert kept == [str(told["json"]), "benchmarks.json"]
    assert any(f"--benchmark-json={kept[1]}" in step.get("run", "") for step in steps)


def test_the_hooks_run_what_lint_runs():
    hooks = yaml.safe_load(text(".pre-commit-config.yaml"))["repos"][0]["hooks"]
    tools = {hook["entry"].split()[0] for hook in hooks}
    assert {".venv/bin/ruff", ".venv/bin/mypy"} <= tools
