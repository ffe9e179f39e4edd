"""The cost model of what runs by the programs of models/_kernels: which do, what they hold, move and launch."""

import dataclasses

import pytest

from harness import cost, hardware
from harness.job import Job, state_bytes
from tests.contract import cases, label
from tests.test_cost import H200, LLAMA_7B, OPERATORS, PAPER_1B, SMALL, job, retnet


@pytest.mark.parametrize(
    ("machine", "dtype", "programs"),
    [
        ("h200", "bfloat16", True),
        ("h100", "float16", True),
        ("h200", "float32", False),
        ("cpu", "bfloat16", False),
        ("mi250x", "bfloat16", False),
        ("m2", "float16", False),
    ],
)
def test_programs_run_in_16_bits_on_the_gpus_that_they_are_for(machine, dtype, programs):
    assert cost.placed(retnet(dtype=dtype), hardware.load(machine)).programs == programs


@pytest.mark.parametrize("case", cases(), ids=label)
def test_programs_take_no_longer_than_operators_and_no_more_memory(case):
    """But for scores that are written out: in 16 bits they are there in float32 as well."""
    asked = Job(case.kind, dataclasses.replace(SMALL, max_length=600), case.options, 2, 64, "bfloat16")
    for phase in (cost.training, cost.prefill, cost.decode):
        own, plain = phase(asked, H200), phase(asked, OPERATORS)
        assert own.floor_seconds == plain.floor_seconds <= own.seconds
        assert own.causes["launches"] <= plain.causes["launches"]
        if ("implementation", "eager") not in case.changed:
            assert own.seconds <= plain.seconds
            assert own.memory_bytes <= plain.memory_bytes


def test_a_step_by_programs_reads_and_writes_the_state_once():
    """A decayed state is passed five times by operators. A cache that is copied is what it was."""
    own, plain = (cost.decode(retnet(graph=True), machine) for machine in (H200, OPERATORS))
    passes = (plain.causes["memory"] - own.causes["memory"]) * H200.bandwidth / state_bytes(retnet())
    assert passes == pytest.approx(3, rel=0.02)
    assert own.seconds == pytest.approx(own.floor_seconds, rel=0.2)
    assert own.causes["launches"] == pytest.approx((32 * 8 + 10) * H200.graph_launch_seconds)
    assert cost.decode(retnet(graph=True, batch=1), H200).causes["launches"] == pytest.approx(170 * 2e-6)
    copied = job("transformer", LLAMA_7B, options={"cache": "concatenated", "implementation": "eager"})
    assert cost.decode(copied, H200) == cost.decode(copied, OPERATORS)


def test_a_mixer_that_is_told_to_do_without_does_without():
    told = [job("retnet", PAPER_1B, options={"implementation": how}) for how in ("auto", "torch")]
    own, without = (cost.training(each, H200) for each in told)
    assert own.seconds < without.seconds < cost.training(told[1], OPERATORS).seconds
