"""How fast retention is on this machine's processor, as ratios within one process (`make bench`).

Shape: one sequence of 2048 tokens, 8 heads of 64/128, float32.
"""

import statistics
import time

import pytest
import torch

from models import _decay, _retention

T, H, K, V = 2048, 8, 64, 128


def median_seconds(work, repeats=9):
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


@pytest.fixture
def inputs():
    log_decay = torch.tensor(_decay.schedule("torchscale", H)).log()
    return [torch.randn(1, H, T, size) for size in (K, K, V)], log_decay


def test_forward_reaches_half_of_the_matrix_rate(benchmark, inputs):
    qkv, log_decay = inputs
    a = torch.randn(2048, 2048)
    rate = 2 * 2048**3 / median_seconds(lambda: a @ a)
    with torch.no_grad():
        benchmark(lambda: _retention.chunkwise(*qkv, log_decay))
    flops = 2 * T * H * (_retention.CHUNK * (K + V) + 2 * K * V)
    share = flops / benchmark.stats.stats.median / rate
    benchmark.extra_info["share of the matrix rate"] = round(share, 3)
    assert share > 0.5


def test_forward_is_ten_times_the_recurrence(benchmark, inputs):
    qkv, log_decay = inputs
    with torch.no_grad():
        slow = median_seconds(lambda: _retention.recurrent(*qkv, log_decay), repeats=3)
        benchmark(lambda: _retention.chunkwise(*qkv, log_decay))
    ratio = slow / benchmark.stats.stats.median
    benchmark.extra_info["times the recurrence"] = round(ratio, 1)
    assert ratio > 10


def test_training_costs_at_most_three_and_a_half_forwards(benchmark, inputs):
    qkv, log_decay = inputs
    with torch.no_grad():
        forward = median_seconds(lambda: _retention.chunkwise(*qkv, log_decay), repeats=21)
    given, gradient = [x.requires_grad_() for x in qkv], torch.randn(1, H, T, V)

    def both():
        o, _ = _retention.chunkwise(*given, log_decay)
        torch.autograd.grad(o, given, gradient)

    benchmark(both)
    ratio = benchmark.stats.stats.median / forward
    benchmark.extra_info["times forward"] = round(ratio, 2)
    assert ratio < 3.5
