"""What the server of processes loads before it forks any: all of it, no device touched, and nothing that can fail."""

import gc
import importlib.util
import json
import os
import subprocess
import sys
import types

import pytest
import torch

from harness import warm, worker
from tests import forked
from tests.tree import ROOT

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are forked on Linux alone")
FEW_BYTES = 2**23  # that a collection writes to: with what the server holds unfrozen it is ten times as much

# Every way of torch's and Triton's to a device is watched; what asks one leaves its name.
WATCHED = """
import json, os, sys, threading
import torch
import harness.bench
from triton.runtime import cache, driver

asked = []

class Watch:
    def __getattr__(self, name):
        asked.append(f"driver.{name}")
        raise AttributeError(name)

def watched(place, name):
    def ask(*_, **__):
        asked.append(name)
        raise RuntimeError(f"{name} was asked of a device")
    setattr(place, name, ask)

for name in ("_cuda_init", "_cuda_getDeviceCount", "_cuda_isInBadFork"):
    if hasattr(torch._C, name):
        watched(torch._C, name)
for name in ("is_available", "device_count", "_lazy_init", "get_device_properties", "get_device_capability"):
    watched(torch.cuda, name)
driver.set_active(Watch())

from harness import warm
before, tasks = set(sys.modules), len(os.listdir("/proc/self/task"))
warm.programs()
print(json.dumps({
    "asked": asked,
    "initialised": torch.cuda.is_initialized(),
    "keys": cache.triton_key.cache_info().currsize,
    "late": sorted(set(sys.modules) - before),
    "backends": sorted(name for name in sys.modules if name.startswith("triton.backends.nvidia.")),
    "tasks": len(os.listdir("/proc/self/task")) - tasks,
}))
"""


def told_by(script):
    """What a fresh process prints as JSON."""
    clean = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    asked = {"env": clean | {"PYTHONPATH": str(ROOT)}, "cwd": ROOT, "capture_output": True, "text": True}
    ran = subprocess.run([sys.executable, "-c", script], **asked)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.fixture(scope="module")
def told():
    pytest.importorskip("triton", reason="Triton is for Linux")
    return told_by(WATCHED)


def test_every_program_and_the_compiler_are_loaded(told):
    programs = {f"models._kernels.{path.stem}" for path in (ROOT / "models/_kernels").glob("[!_]*.py")}
    assert len(programs) > 10
    assert programs - set(told["late"]) == set()
    assert "triton.compiler.code_generator" in told["late"]
    assert {"triton.backends.nvidia.compiler", "triton.backends.nvidia.driver"} <= set(told["backends"])


def test_the_key_of_triton_is_computed(told):
    assert told["keys"] == 1


def test_no_device_is_asked_for_anything(told):
    """A process cannot use CUDA where the one that it was forked from has."""
    assert told["asked"] == []
    assert not told["initialised"]


def test_no_thread_is_left(told):
    """None of them would be there in a process that is forked."""
    assert told["tasks"] == 0


@pytest.fixture(scope="module")
def process():
    return worker.call(forked.state)


@linux
def test_a_process_begins_with_what_it_needs(process):
    """An import that fails in the server is silent."""
    assert {*worker.PRELOAD, *warm.LATE} <= process["loaded"]
    assert not process["initialised"]


@linux
def test_a_process_has_programs_where_they_can_run_alone(process):
    assert ("models._kernels.retention" in process["loaded"]) is warm.programs_run()


@linux
def test_what_is_loaded_is_no_garbage_collector_s_work(process):
    assert process["frozen"] > 100_000
    assert process["written"] < FEW_BYTES


def test_importing_it_elsewhere_does_nothing():
    script = """
import gc, json, sys
before = gc.get_freeze_count()  # some versions of Python freeze what they begin with
import harness.warm
print(json.dumps([gc.get_freeze_count() - before, sorted(sys.modules)]))
"""
    frozen, loaded = told_by(script)
    assert frozen == 0
    assert not {"torch", "triton", "models._kernels", *warm.LATE} & set(loaded)


@pytest.mark.parametrize("error", [ImportError("gone"), AttributeError("renamed"), RuntimeError("broken"), OSError()])
def test_what_cannot_be_loaded_fails_nothing(monkeypatch, error):
    tried, frozen = [], []

    def fails(name):
        tried.append(name)
        raise error

    monkeypatch.setattr(warm, "importlib", types.SimpleNamespace(import_module=fails))
    monkeypatch.setattr(warm, "programs_run", lambda: True)
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(True))
    warm.up()
    assert {*warm.LATE, *warm.COMPILER, *warm.KEYS, "models._kernels.wkv"} <= set(tried)
    assert frozen == [True]


def test_a_machine_that_cannot_be_told_fails_nothing(monkeypatch):
    """Anything but an ImportError would end the server, and with it every point."""
    frozen = []

    def fails():
        raise ValueError("triton.__spec__ is None")

    monkeypatch.setattr(warm, "programs_run", fails)
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(True))
    warm.up()
    assert frozen == [True]


def test_a_key_that_another_triton_computes_otherwise_fails_nothing(monkeypatch):
    keys = []

    def triton_key():
        keys.append(True)
        raise TypeError("one more argument")

    class Cache:
        pass

    monkeypatch.setattr(warm, "importlib", types.SimpleNamespace(import_module=lambda name: Cache))
    warm.programs()
    Cache.triton_key = staticmethod(triton_key)
    warm.programs()
    assert keys == [True] * len(warm.KEYS)


@pytest.mark.parametrize(
    ("cuda", "found", "driver", "run"),
    [("13.0", True, True, True), (None, True, True, False), ("13.0", False, True, False), ("13.0", True, False, False)],
)
def test_programs_are_loaded_where_they_could_run(monkeypatch, tmp_path, cuda, found, driver, run):
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if found else None)
    monkeypatch.setattr(warm, "DRIVERS", (str(tmp_path / "absent"), str(tmp_path if driver else tmp_path / "none")))
    assert warm.programs_run() is run
