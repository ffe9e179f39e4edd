"""An interrupted training goes on to exactly the same losses."""

import itertools
import pathlib
import signal
import subprocess
import sys

import pytest
import torch
from safetensors import SafetensorError
from torch import nn

import models
from harness import checkpoint, stepping, training
from harness.bench import Bench
from tests import tiny
from tests.test_training import SETTINGS, TEXT, changed, losses, trained, weights
from tests.tree import ROOT

INTERRUPTED = """
import pathlib, sys
from tests import test_training as t
for row in t.training.train(t.tiny.model(), t.TEXT, t.SETTINGS, 0, "parallel", pathlib.Path(sys.argv[1]), 0.0):
    print(row.step, flush=True)
"""


def test_a_killed_training_goes_on_to_exactly_the_same_losses(tmp_path):
    kept = tmp_path / "some" / "training.safetensors"
    run = subprocess.Popen([sys.executable, "-c", INTERRUPTED, str(kept)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    while int(run.stdout.readline()) < 5:
        pass
    run.send_signal(signal.SIGKILL)
    run.wait()
    saved = checkpoint.load(kept, model := tiny.model(7), stepping.optimiser(model, SETTINGS))
    assert saved is not None
    assert 4 <= saved.step < 9, "it was killed half way"
    whole, a = trained()
    rest, b = trained(model=tiny.model(8), kept=kept)  # of other weights, so that those kept must be used
    assert losses(rest) == losses(whole)
    assert [row.tokens for row in rest] == [row.tokens for row in whole]
    assert torch.equal(weights(a), weights(b))
    assert all(row.seconds <= later.seconds for row, later in itertools.pairwise(rest))


@pytest.mark.parametrize("stop", [1, 4, 250])
def test_rows_that_many_steps_share_are_the_same_after_an_interruption(tmp_path, stop, monkeypatch):
    kept, settings = tmp_path / "a.safetensors", changed(tokens=66 * 300, warmup=0.5, schedule="linear")
    whole, _ = trained(settings)
    saves, save = [], checkpoint.save
    monkeypatch.setattr(checkpoint, "save", lambda *given: saves.append(given[3].step) or save(*given))
    curve = training.train(tiny.model(), TEXT, settings, 0, "parallel", kept, keep_seconds=0.0)
    while not saves or saves[-1] < stop:
        next(curve)
    curve.close()
    rest, _ = trained(settings, model=tiny.model(5), kept=kept)
    assert losses(rest) == losses(whole)
    assert len(whole) == training.ROWS


def test_a_long_training_that_is_finished_is_not_done_again(tmp_path, monkeypatch):
    kept = tmp_path / "a.safetensors"
    begun = training.train(tiny.model(), TEXT, SETTINGS, 0, "parallel", kept, keep_seconds=0.0)
    assert [next(begun).step, next(begun).step] == [1, 2]
    begun.close()
    whole, a = trained(kept=kept)
    monkeypatch.delattr(stepping, "step")
    again, b = trained(kept=kept, model=tiny.model(6))
    assert again == whole
    assert torch.equal(weights(a), weights(b))


def test_a_short_training_keeps_nothing(tmp_path):
    trained(kept=tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "emptied", "another model"])
def test_a_checkpoint_that_cannot_be_used_is_removed(tmp_path, damage):
    kept = tmp_path / "a.safetensors"
    whole, _ = trained(kept=kept, keep_seconds=0.0)
    if damage == "another model":
        other = nn.Linear(3, 2)
        checkpoint.save(kept, other, torch.optim.AdamW(other.parameters()), checkpoint.Done(step=3))
    else:
        kept.write_bytes(kept.read_bytes()[:-1] if damage == "cut" else b"")
    model = tiny.model()
    before = weights(model).clone()
    assert checkpoint.load(kept, model, stepping.optimiser(model, SETTINGS)) is None
    assert torch.equal(weights(model), before)
    assert not kept.exists()
    assert losses(trained(kept=kept)[0]) == losses(whole)


def test_a_checkpoint_keeps_random_numbers_and_leaves_nothing_else(tmp_path):
    kept, model = tmp_path / "a.safetensors", tiny.model()
    adamw = stepping.optimiser(model, SETTINGS)
    checkpoint.save(kept, model, adamw, checkpoint.Done(step=2, losses=[0.1]))
    drawn = torch.rand(3)
    assert checkpoint.load(kept, model, adamw) == checkpoint.Done(step=2, losses=[0.1])
    assert torch.equal(torch.rand(3), drawn)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_checkpoint_is_of_this_code_and_this_configuration(monkeypatch, tmp_path):
    monkeypatch.setattr(models, "load", lambda name: tiny.Model)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    paths = [Bench(tiny.point("noop", seed=seed)).checkpoint for seed in (0, 0, 1)]
    assert paths[0] == paths[1] != paths[2]
    assert pathlib.Path(tmp_path) in paths[0].parents


@pytest.mark.parametrize("fault", ["no folder", "full"])
def test_a_training_that_cannot_be_kept_goes_on(tmp_path, monkeypatch, fault):
    """To its result, which is what it is for; a full disk is told by safetensors in a way of its own."""
    kept = tmp_path / "a.safetensors"
    if fault == "no folder":
        (tmp_path / "file").touch()
        kept = tmp_path / "file" / "a.safetensors"
    else:
        full = [None, None, *[SafetensorError("I/O error: No space left on device")] * 99]
        save_file = checkpoint.save_file

        def save(*given, **named):
            if error := full.pop(0):
                raise error
            save_file(*given, **named)

        monkeypatch.setattr(checkpoint, "save_file", save)
    whole, _ = trained()
    assert losses(trained(kept=kept, keep_seconds=0.0)[0]) == losses(whole)
    assert kept.exists() == (fault == "full"), "the last one that could be written"
    checkpoint.remove(kept)
    assert not kept.exists()


def test_a_damaged_checkpoint_that_cannot_be_removed_is_passed_over(tmp_path):
    kept = tmp_path / "a.safetensors"
    (kept / "within").mkdir(parents=True)
    whole, _ = trained()
    assert losses(trained(kept=kept, keep_seconds=0.0)[0]) == losses(whole)
    checkpoint.remove(kept)
