"""Ctrl-C in a terminal, which reaches every process of the command: one line and exit code 130, whenever it comes."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.commands import SMALL
from tests.sweeping import gone, until
from tests.tree import ROOT


def started(*words):
    """A `python -m harness` in a process group of its own."""
    asked = [sys.executable, "-m", "harness", *map(str, words)]
    return subprocess.Popen(asked, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)


def interrupted(process):
    """What it says on stderr, but for a busy machine, once its whole group has got the signal; it must end with 130."""
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=120)  # what the group has loading ends first
    assert process.returncode == 130, told.decode()
    return "\n".join(line for line in told.decode().splitlines() if not line.startswith("warning: ")).strip()


def has_server(process):
    return any("forkserver" in command(each) for each in psutil.Process(process.pid).children())


def command(process):
    """Empty where it has just ended: others than the server come and go."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def loads(process, library):
    """Whether it has begun to: its code is there, and it takes a while yet to be ready."""
    return any(library in each.path for each in psutil.Process(process.pid).memory_maps())


@pytest.mark.parametrize("library", ["numpy", "libtorch_cpu"])
def test_while_libraries_load(tmp_path, library):
    process = started("run", "experiments/smoke.yaml", "--out", tmp_path / "r")
    until(lambda: loads(process, library))
    assert interrupted(process) == "stopped"
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("seconds", [0.0, 0.3, 0.9])
def test_while_the_server_of_processes_loads_torch(tmp_path, seconds):
    (tmp_path / "small.yaml").write_text(SMALL, encoding="utf-8")
    process = started("run", tmp_path / "small.yaml", "--out", tmp_path / "r")
    until(lambda: has_server(process))
    time.sleep(seconds)
    left = psutil.Process(process.pid).children(recursive=True)
    told = interrupted(process)
    assert told == "stopped: nothing had been measured yet"
    until(lambda: gone(left))
