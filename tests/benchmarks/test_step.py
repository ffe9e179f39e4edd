"""One token of retention by itself, as decoding does it: microseconds a layer, the states of several layers in one
graph, so that no state is in a cache from the time before.

    python -m pytest -o addopts=-qs tests/benchmarks/test_step.py

A layer is that of 1.3B in the paper's sizes. What it must take at least is a state read and written at the speed of an
H200's memory, and it is held to a quarter more and 2.5 us to start and end.
"""

import math

import pytest
import torch

from tests.programs import on_a_gpu

H, K, V = 8, 256, 512
NUMBERS = 2**28  # of all states together at least: beyond every cache
LEAST_LAYERS = 3
SPEED = 4.8e12  # bytes a second, of an H200's data sheet
SLACK, START = 1.25, 2.5e-6


def layers(B, dtype, device):
    """A call that takes one token of B sequences through each of several layers, and how many those are."""
    from models._kernels.step import step_

    count = max(LEAST_LAYERS, math.ceil(NUMBERS / (B * H * K * V)))
    states = [torch.zeros(B, H, K, V, dtype=dtype, device=device) for _ in range(count)]
    qkv = torch.randn(B, H * (2 * K + V), device=device, dtype=torch.bfloat16)
    turn = torch.polar(torch.ones(2, 1, K // 2), torch.randn(2, 1, K // 2)).to(device)
    gamma = (1 - torch.exp2(-5.0 - torch.arange(H, device=device)))[:, None, None]
    position = torch.tensor([7], device=device)

    def work():
        for state in states:
            step_(qkv, turn, K**-0.5, gamma, state, position)

    return work, count


@on_a_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("B", [1, 8, 64, 256])
def test_a_step_takes_little_more_than_its_state_takes_to_move(B, dtype):
    from triton.testing import do_bench_cudagraph

    work, count = layers(B, dtype, "cuda")
    seconds = do_bench_cudagraph(work, return_mode="median") / 1000 / count
    least = 2 * B * H * K * V * dtype.itemsize / SPEED
    print(f"\n{B} sequences, {dtype}: {seconds * 1e6:.2f} us a layer, {least / seconds:.0%} of the floor")
    if dtype == torch.float32:  # rounding by chance is bound by its instructions
        assert seconds <= SLACK * least + START
