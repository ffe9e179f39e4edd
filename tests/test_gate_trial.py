"""Trials of the gate: copies that are slower by what they should be, the rules of others, and tables of it all."""

import csv
import dataclasses
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from harness.errors import UserError
from harness.gate import plant, rivals, trial, trial_table
from harness.gate.cases import Case, Pair
from harness.tables import TABLES
from tests.gating import row
from tests.tree import ROOT

# The rules of others -------------------------------------------------------------------------------------------------


def test_pytest_benchmark_compares_medians_alone():
    assert rivals.pytest_benchmark([10.0, 10.0, 99.0], [11.001, 11.001, 1.0])
    assert not rivals.pytest_benchmark([10.0, 10.0, 1.0], [10.999, 10.999, 99.0])


def test_asv_wants_the_factor_and_a_difference():
    rng = np.random.default_rng(0)
    base = list(rng.normal(1.0, 0.01, 25))
    assert rivals.asv(base, [value * 1.2 for value in base])
    assert not rivals.asv(base, [value * 1.05 for value in base]), "different, and within the factor"
    noisy = list(rng.normal(1.0, 0.8, 7))
    assert not rivals.asv(noisy, [value + 0.3 for value in noisy]), "beyond the factor, and not different"


@pytest.mark.parametrize(("count", "different"), [(5, False), (6, True)])
def test_asv_tells_nothing_from_five_samples(count, different):
    """The most extreme order of 5 and 5 has p = 2/252; that of 6 and 6 has 2/924 = 0.0022, still too much for 0.002."""
    assert (1 / math.comb(2 * count, count) < rivals.SIGNIFICANT) is different
    assert not rivals.differ([1.0 + i for i in range(count)], [100.0 + i for i in range(count)])


def test_asv_tests_exactly_up_to_twenty_samples_and_by_the_normal_approximation_above():
    for count in (7, 20, 21, 40):
        low, high = [float(i) for i in range(count)], [count + float(i) for i in range(count)]
        assert rivals.differ(low, high)
        assert not rivals.differ(low, [value + 0.5 for value in low])


# Copies --------------------------------------------------------------------------------------------------------------

TIMED = """
import time, torch
import models
from models._cost import Shape
kind = models.load("aft")
torch.manual_seed(0)
model = kind(Shape(24, 3, 2, 20, 11, 64), kind.Options())
tokens = torch.randint(0, 11, (2, 9))
def seconds(work):
    found = []
    for _ in range(5):
        began = time.perf_counter()
        told = work()
        found.append(time.perf_counter() - began)
    return min(found), told
with torch.no_grad():
    prompt, (logits, state) = seconds(lambda: model.prefill(tokens, capacity=64))
    token, _ = seconds(lambda: model.step(tokens[:, 0], state))
step, _ = seconds(lambda: model(tokens).sum().backward())
print(prompt, token, step, logits.double().sum().item())
"""


def test_a_copy_is_slower_by_what_was_planted_and_computes_the_same(tmp_path):
    took = {"prefill": 300.0, "decode": 600.0, "training": 900.0}
    rows = [(row("aft", measure, layers=3), milliseconds) for measure, milliseconds in took.items()]
    found = []
    for name, share in (("same", 0.0), ("slower", 0.2)):
        copy = plant.copy(ROOT, tmp_path / name)
        if share:
            plant.slow_down(copy, rows, share)
        ran = subprocess.run([sys.executable, "-c", TIMED], cwd=copy, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        found.append([float(word) for word in ran.stdout.split()])
    same, slower = found
    added = [1000 * (b - a) for a, b in zip(same[:3], slower[:3], strict=True)]
    assert added == pytest.approx([0.2 * each for each in took.values()], rel=0.3)
    assert same[3] == slower[3]


def test_two_sizes_of_one_measure_are_refused(tmp_path):
    with pytest.raises(ValueError, match="aft has two points of decode"):
        plant.slow_down(tmp_path, [(row("aft"), 1.0), (row("aft", batch_size=9), 1.0)], 0.1)


def test_every_model_can_be_slowed_down():
    """The loop stands on names that every architecture has."""
    for name in ("build_mixer", "class Model(", "import torch"):
        for path in (ROOT / "models").glob("[a-z]*.py"):
            assert name in path.read_text(encoding="utf-8")


def test_trials_of_all_kinds_take_turns():
    order = trial._order(7, 3)
    assert {each: order.count(each) for each in set(order)} == {0: 7, 5: 3, 10: 3, 20: 3}
    assert all(set(order[i : i + 7]) >= {0, 5, 10, 20} for i in range(0, 10, 5))


def test_samples_are_on_disk_after_every_trial_and_are_never_overwritten(tmp_path):
    folder = tmp_path / "gate/cpu"
    held = Case("decode aft 3x17", row("aft"), row("aft"), first=[Pair((1.0, 2.0), (3.0, 4.0), False)])
    with trial._writer(folder, {"cpu": "made up"}) as write:
        write(2, 10, [held], [Pair((5.0,), (6.0,), True)])
        told = (folder / trial_table.SAMPLES).read_text(encoding="utf-8").splitlines()
    assert told == [
        "trial,slowdown_percent,point,model,measure,stage,pair,side,position,repeat,ms",
        "2,10,decode aft 3x17,aft,decode,first,0,base,1,0,1.0",
        "2,10,decode aft 3x17,aft,decode,first,0,base,1,1,2.0",
        "2,10,decode aft 3x17,aft,decode,first,0,head,0,0,3.0",
        "2,10,decode aft 3x17,aft,decode,first,0,head,0,1,4.0",
        "2,10,(control),,,first,0,base,0,0,5.0",
        "2,10,(control),,,first,0,head,1,0,6.0",
    ]
    assert (folder / "environment.csv").read_text(encoding="utf-8") == "cpu\nmade up\n"
    with pytest.raises(UserError, match="there are trials of this machine already"), trial._writer(folder, {}):
        pytest.fail("it was opened")
    assert len((folder / trial_table.SAMPLES).read_text(encoding="utf-8").splitlines()) == 7


# Tables --------------------------------------------------------------------------------------------------------------


def written(folder, kinds, noise=0.01, control=0.0, trials=1, shift=0.0):
    """Samples of made-up trials: `kinds` are slowdowns in percent; each trial is `shift` slower as a whole."""
    rng = np.random.default_rng(5)
    folder.mkdir(parents=True)

    def pair(number, slowdown, speed):
        sides = [speed * math.exp(rng.normal(0, noise)) for _ in range(2)]
        base, head = sides[0], sides[1] * (1 + slowdown)
        return Pair(tuple(base * f for f in (1, 1.01, 0.99)), tuple(head * f for f in (1, 1.01, 0.99)), number % 2 == 0)

    with open(folder / trial_table.SAMPLES, "w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(trial.COLUMNS)
        for number, kind in enumerate(kinds * trials):
            speed = (1 + shift) ** number
            for name, slowdown in (("decode aft 3x17", kind / 100), (trial_table.CONTROL, control)):
                for stage in ("first", "again"):
                    pairs = [pair(i, slowdown, speed) for i in range(5)]
                    lines.writerows(
                        (number, kind, name, "aft", "decode", stage, *rest) for rest in trial._samples(pairs)
                    )
    return folder


def alarms(folder):
    found = trial_table.verdicts(pd.read_csv(folder / trial_table.SAMPLES, keep_default_na=False))
    rules = [name for name in found.columns if name not in ("trial", "slowdown_percent", "point")]
    return {rule: dict(zip(found["slowdown_percent"], found[rule], strict=True)) for rule in rules}


def test_on_a_quiet_machine_all_rules_agree(tmp_path):
    told = alarms(written(tmp_path / "gate/cpu", [0, 5, 20]))
    assert len(told) == 5
    for rule, found in told.items():
        assert found == {0: "pass", 5: "pass", 20: "alarm"}, rule


def test_a_stored_baseline_takes_a_slower_machine_for_slower_code_and_a_pair_does_not(tmp_path):
    told = alarms(written(tmp_path / "gate/cpu", [0, 1, 20], shift=0.3))
    assert told["gate"] == {0: "pass", 1: "pass", 20: "alarm"}
    for rule, found in told.items():
        assert found[1] == ("alarm" if rule.endswith("stored base") else "pass"), rule


def test_a_control_that_drifts_leaves_the_gate_without_a_verdict(tmp_path):
    told = alarms(written(tmp_path / "gate/cpu", [0, 20], control=0.2))
    assert told["gate"] == {0: "inconclusive", 20: "inconclusive"}


def test_the_table_counts_alarms_with_their_interval_and_is_the_same_again(tmp_path):
    folder = written(tmp_path / "gate/cpu", [0, 20], trials=4)
    told = trial_table.markdown(tmp_path / "gate")
    assert told == trial_table.markdown(folder.parent)
    lines = {line.split(" | ")[0].strip("| "): line for line in told.splitlines() if line.startswith("|")}
    assert "| 0 of 4 (0.0 to 60.2%) | 4 of 4 (39.8 to 100.0%) | 0 of 8" in lines["gate"]
    assert told.startswith("8 comparisons in 8 trials; `results/gate/cpu`.")
    assert "20% slower, the gate let 0 pass" in told
    assert trial_table.markdown(tmp_path / "none") == trial_table.NOTHING


def test_the_text_between_the_marks_is_that_of_the_committed_trials(committed):
    told = trial_table.markdown(committed / "gate")
    assert trial_table.PART.read() == told, "run `make readme` and commit CONTRIBUTING.md with the trials"


def test_tables_go_between_the_marks_and_nowhere_else(monkeypatch, tmp_path):
    part = dataclasses.replace(trial_table.PART, path=tmp_path / "CONTRIBUTING.md")
    monkeypatch.setattr(trial_table, "PART", part)
    part.path.write_text(f"before\n{part.begin}old | numbers\n{part.end}after | old\n", encoding="utf-8")
    trial.write(tmp_path / "none")
    assert part.path.read_text(encoding="utf-8") == f"before\n{part.begin}{trial_table.NOTHING}{part.end}after | old\n"


def test_trials_are_no_results_of_an_experiment():
    assert trial_table.SAMPLES.removesuffix(".csv") not in TABLES
