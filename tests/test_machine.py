"""What a machine is called, and what tells it from another."""

import os
import platform
import runpy
import subprocess
import sys

import pytest
import torch

import models
from harness import machine, tables, worker
from harness.errors import UserError, unknown
from tests.tree import ROOT


@pytest.fixture(scope="module")
def row():
    return worker.call(machine.environment, "cpu")


def described():
    return next(machine.environment("cpu"))


# Devices ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "found"),
    [((False, False), "cpu"), ((True, False), "mps"), ((False, True), "cuda"), ((True, True), "cuda")],
)
def test_auto_takes_the_fastest_there_is(monkeypatch, there, found):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: there[0])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there[1])
    assert machine.resolve("auto") == found
    assert machine.resolve("cpu") == "cpu"


def test_a_device_that_is_not_there_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(UserError, match=r"--device cuda: there is no cuda .*; there is cpu, mps; use --device mps"):
        machine.resolve("cuda")
    with pytest.raises(
        UserError, match=r"unknown device 'cdua'; allowed are auto, cpu, cuda, mps; did you mean 'cuda'\?"
    ):
        machine.resolve("cdua")


ELSEWHERE = "there is no CUDA device on this machine, and {} are found on one; run this where one is"


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
@pytest.mark.parametrize(
    ("tool", "given", "told"),
    [
        ("tune_kernels", [], ELSEWHERE.format("plans")),
        ("tune_steps", [], ELSEWHERE.format("portions")),
        ("tune_kernels", ["64"], "unknown size '64'; write keys and values as 256x512"),
        ("tune_kernels", ["64x0"], "unknown size '64x0'; write keys and values as 256x512"),
        ("tune_steps", ["retnt"], unknown("model", "retnt", models.names())),
    ],
)
def test_what_is_tuned_on_a_gpu_says_so_elsewhere(monkeypatch, capsys, tool, given, told):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", [tool, *given])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"harness.{tool}", run_name="__main__")
    assert (ended.value.code, *capsys.readouterr()) == (2, "", told + "\n")


@pytest.mark.parametrize(
    ("device", "name", "cores", "folder"),
    [
        ("cpu", "Intel(R) Xeon(R) Processor", 2, "cpu-intel-xeon-processor-2-cores"),
        ("cpu", "Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz", 12, "cpu-intel-core-i7-9750h-12-cores"),
        ("cpu", "AMD EPYC 7763 64-Core Processor", 1, "cpu-amd-epyc-7763-1-core"),
        ("mps", "Apple M2", 8, "mps-apple-m2"),
        ("cuda", "NVIDIA H200", 16, "nvidia-h200"),
    ],
)
def test_the_folder_is_named_after_the_device(device, name, cores, folder):
    assert machine.slug({"device_name": name, "cores": cores}, device) == folder


def test_the_folder_is_known_before_anything_is_measured(row, monkeypatch):
    monkeypatch.setattr(machine, "peaks", lambda device: pytest.fail("it was measured"))
    (told,) = machine.named("cpu")
    assert told == {name: row[name] for name in ("device_name", "cores", "machine")}
    assert machine.slug(told, "cpu") == machine.slug(row, "cpu")


# The row of environments.csv -------------------------------------------------------------------------------------


def test_the_row_has_the_columns_of_its_table(row):
    columns = {name for name in tables.TABLES["environments"].columns if name != "schema"}
    assert columns - set(row) <= {"device_memory_bytes", "driver", "power_limit_watts"}  # of accelerators
    assert set(row) <= columns
    assert row["torch"] == torch.__version__
    assert row["python"] == platform.python_version()
    assert 2**28 < row["memory_bytes"] < 2**50
    assert row["blas"] != "unknown"
    assert row["dirty"] in ("true", "false", None)


def test_peaks_are_rates_of_this_kind_of_machine(row):
    assert 1e8 < row["peak_flops"] < 1e14
    assert 1e8 < row["peak_bytes_per_second"] < 1e13


def test_no_name_of_the_host_is_kept(row):
    told = {str(value) for value in row.values()}
    secrets = {platform.node(), machine.cache.folder().joinpath("machine-id").read_text()}
    assert not any(secret in value for secret in secrets if len(secret) > 3 for value in told)


def test_a_machine_is_itself_again(row):
    again = worker.call(machine.environment, "cpu")
    assert again["machine"] == row["machine"]
    assert again["environment"] != row["environment"]


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(machine, "peaks", lambda device: {})


@pytest.mark.parametrize(
    "other",
    [
        lambda patch, _: patch.setattr(machine, "cpu_name", lambda: "another processor"),
        lambda patch, _: patch.setattr(machine, "cores", lambda: 97),
        lambda patch, _: patch.setattr(machine, "use_cores", lambda: 97),
        lambda patch, _: patch.setattr(torch, "__version__", "1.0"),
        lambda patch, _: patch.setattr(platform, "python_version", lambda: "2.7"),
        lambda patch, empty: patch.setenv("XDG_CACHE_HOME", str(empty)),
    ],
    ids=["processor", "cores", "threads", "torch", "python", "a newcomer's cache"],
)
def test_another_machine_is_another(quick, monkeypatch, tmp_path, other):
    before = described()["machine"]
    assert described()["machine"] == before
    other(monkeypatch, tmp_path)
    assert described()["machine"] != before


def test_a_place_without_a_cache_still_has_one_name(quick, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder can be made in it")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert described()["machine"] == described()["machine"]


def test_runs_that_start_together_agree_on_the_name(tmp_path):
    script = "from harness import machine; print(machine._host())"
    asked = {
        "cwd": ROOT,
        "env": {**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        "stdout": subprocess.PIPE,
        "text": True,
    }
    started = [subprocess.Popen([sys.executable, "-c", script], **asked) for _ in range(4)]
    names = {process.communicate()[0] for process in started}
    assert len(names) == 1
    assert [path.name for path in (tmp_path / "impossible-triangle").iterdir()] == ["machine-id"]


def test_the_commit_is_the_checkout_s(monkeypatch, tmp_path):
    def git(*command):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *command], cwd=tmp_path, check=True)

    monkeypatch.setattr(machine, "ROOT", tmp_path.resolve())
    assert machine.commit() == {"commit": None, "dirty": None}
    for name in machine.SOURCES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.py").write_text("a = 1\n")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "points.csv").write_text("written by the run itself")
    clean = machine.commit()
    assert (len(clean["commit"]), clean["dirty"]) == (40, "false")
    for name in machine.SOURCES:
        (tmp_path / name / "one.py").write_text("a = 2\n")
        assert machine.commit() == {"commit": clean["commit"], "dirty": "true"}
        git("checkout", "--quiet", name)
    assert machine.commit() == clean
    checked = " or ".join(", ".join(machine.SOURCES).rsplit(", ", 1))
    described = tables.TABLES["environments"].columns["dirty"].description
    assert described == f"true where {checked} differed from that commit", "and no more is said than is looked at"
