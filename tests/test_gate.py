"""The gate from end to end: real trees, processes and times, on a copy of this project with things planted in it.

Slowdowns are planted, and limits set, far from each other, so that a busy machine makes these tests slower, not wrong.
"""

import json

import pytest

from harness.gate import accepted
from tests.gating import TINY, commit, gate, git, plant, repository

EXACT_ONLY = TINY.replace("name: prefill", "name: memory")  # nothing that has a time
WIDE = ("--limit", "300%")
SLEEP = '    def forward(self, x: Float[Tensor, "B T D"], call: Call, state: LayerState) -> Float[Tensor, "B T D"]:\n'


@pytest.fixture
def copy(tmp_path):
    """Without the part of torch that training needs: every round starts two processes, which load a third less."""
    made = repository(tmp_path / "copy")
    plant(made, "harness/bench.py", "import torch._dynamo", "")
    commit(made, "Load less")
    return made


def verdicts(told):
    return {point["model"]: point["verdict"] for point in told["points"]}


# Clocks ----------------------------------------------------------------------------------------------------------


def test_a_sleep_in_one_models_mixer_is_a_regression_of_that_model_alone(copy):
    plant(copy, "models/retnet.py", SLEEP, SLEEP + "        import time\n        time.sleep(0.03)\n")
    code, told = gate(copy, "--base", "HEAD", "--only", "model=retnet", "--only", "model=aft", *WIDE)
    assert code == 1, told
    assert verdicts(told)["retnet"] == "slower"
    assert verdicts(told)["aft"] != "slower"
    assert told["exact"] == [], "it is as good as it was, only slower"
    (slow,) = [point for point in told["points"] if point["model"] == "retnet"]
    assert slow["flagged"], "it was measured again before the verdict"
    assert len(slow["again"]) >= 5
    assert slow["low"] > 1
    assert slow["ratio"] > 4
    for point in told["points"]:
        assert len(point["first"]) >= 5
        assert all(len(pair["base"]) >= 3 for pair in point["first"])
    assert told["head"]["dirty"], "what is judged is the working tree as it stands"


STEADY = """
import json, sys
PROTOCOL = 1
print(json.dumps({"protocol": 1}), flush=True)
for line in sys.stdin:
    print(json.dumps({"status": "ok", "reason": "", "samples": [7.0, 7.0, 7.0]}), flush=True)
"""


def test_identical_trees_pass_unless_the_control_drifts(copy):
    """The visitors of both trees say the same of every point, so that it hangs on the control alone. That of every head
    is slowed: its calls come in turned order, base head, head base."""
    (copy / "harness/gate/visitor.py").write_text(STEADY, encoding="utf-8")
    commit(copy, "Always the same")
    code, told = gate(copy, "--base", "HEAD", *WIDE)
    assert code == 0, told
    assert told["exact"] == []
    assert {each["kind"] for each in told["not_compared"]} == {"untimed"}
    assert verdicts(told) == dict.fromkeys(("retnet", "transformer", "linear_attention", "rwkv", "aft"), "steady")
    assert len(told["control"]["pairs"]) >= 5
    slowed = "def measure(device: str) -> list[float]:\n    CALLS.append(len(CALLS))\n"
    plant(copy, "harness/gate/control.py", "def measure(device: str) -> list[float]:\n", slowed)
    plant(copy, "harness/gate/control.py", "LIMIT_SECONDS = 60.0\n", "LIMIT_SECONDS = 60.0\nCALLS: list[int] = []\n")
    slower = "return [(5000 if CALLS[-1] % 4 in (1, 2) else 1000) * seconds"
    plant(copy, "harness/gate/control.py", "return [1000 * seconds", slower)
    code, told = gate(copy, "--base", "HEAD", "--only", "model=aft", *WIDE)
    assert code == 4, told
    assert told["control"]["drifted"]
    assert told["control"]["ratio"] > 3
    assert verdicts(told) == {"aft": "steady"}


# What needs no clock ---------------------------------------------------------------------------------------------


PLANTED = {  # what each model's file gets at its end, and the metric that this changes
    "transformer": ("state_bytes", "layer_state_bytes", "staticmethod(lambda *given: ours(*given) + 4)"),
    "aft": ("flops_per_token", "mixing_flops", "staticmethod(lambda *given, **named: ours(*given, **named) + 1)"),
    "rwkv": ("live_parameters", "initialise", "lambda self: (ours(self), self.register_parameter('idle', idle()))"),
    "linear_attention": ("live_state_bytes", "prefill", "lambda *given, **named: spare(ours(*given, **named))"),
}
TAIL = """

ours, idle = Model.METHOD, lambda: nn.Parameter(torch.zeros(3))


def spare(told):
    told[1].layers[0]["spare"] = torch.zeros(2)
    return told


Model.METHOD = VALUE
"""


def test_exact_changes_are_red_whatever_the_clock_says_until_each_is_accepted(copy):
    """One of each kind, each in a model of its own. Nothing here has a time, so that nothing but they can be red."""
    (copy / "experiments/tiny.yaml").write_text(EXACT_ONLY, encoding="utf-8")
    commit(copy, "Compare what needs no clock")
    plant(copy, "models/retnet.py", "gain=2**-2.5", "gain=2**-2.4")
    for model, (_, method, value) in PLANTED.items():
        path = copy / f"models/{model}.py"
        tail = TAIL.replace("METHOD", method).replace("VALUE", value)
        path.write_text(path.read_text(encoding="utf-8") + tail, encoding="utf-8")
    commit(copy, "Change what each model is")
    code, told = gate(copy, "--base", "HEAD~1", "--head", "HEAD")
    wanted = {("retnet", "loss"), *((model, metric) for model, (metric, _, _) in PLANTED.items())}
    assert {(each["label"], each["metric"]) for each in told["exact"]} == wanted
    assert code == 1
    (copy / accepted.NAME).write_text(accepting(told["exact"], git(copy, "rev-parse", "HEAD~1")), encoding="utf-8")
    code, told = gate(copy, "--base", "HEAD~1")
    assert {(each["label"], each["metric"]) for each in told["exact"] if each["accepted"] == "Meant."} == wanted
    assert code == 3, "nothing red is left, and nothing measured"


def accepting(changes, base):
    """A file that accepts exactly these."""
    written = "accepted:\n"
    for each in changes:
        values = json.dumps([each["base"], each["head"]])
        held = {
            "model": each["label"],
            "metric": each["metric"],
            "change": values,
            "base": base,
            "reason": "Meant.",
        }
        written += "  - " + "\n    ".join(f"{key}: {value}" for key, value in held.items()) + "\n"
    return written


# Other revisions -------------------------------------------------------------------------------------------------


def test_what_only_one_revision_has_is_told_and_an_older_one_needs_no_gate_of_its_own(copy):
    """The base lacks a model, an option and the gate itself; the head lacks another model."""
    (copy / "experiments/tiny.yaml").write_text(
        EXACT_ONLY.replace("aft]", "aft, {name: transformer, kv_heads: 1}]"), encoding="utf-8"
    )
    commit(copy, "Now")
    git(copy, "checkout", "--quiet", "-b", "older")
    git(copy, "rm", "--quiet", "-r", "models/aft.py", "harness/gate")
    plant(copy, "models/transformer.py", "kv_heads", "key_heads")
    commit(copy, "What an older revision may look like")
    git(copy, "checkout", "--quiet", "-b", "other", "main")
    git(copy, "rm", "--quiet", "models/rwkv.py")
    commit(copy, "One model less")
    git(copy, "checkout", "--quiet", "main")
    code, told = gate(copy, "--base", "older", "--head", "other")
    alone = {(each["point"], each["kind"]) for each in told["not_compared"]}
    assert ("memory aft 2x19", "new") in alone
    assert ("memory rwkv 2x19", "gone") in alone
    reasons = " ".join(each["reason"] for each in told["not_compared"])
    assert "unknown model 'aft'" in reasons
    assert "kv_heads" in reasons
    assert (code, told["exact"]) == (3, [])
