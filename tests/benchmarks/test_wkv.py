"""How much faster WKV's parallel forms are than the loop over tokens, forward and with the backward pass.

Ratios are taken within one process, call by call in turn, from the fastest call of each, and on one thread: the loop
has no use for more, and a busy machine slows threads that wait for each other.
"""

import time

import pytest
import torch

from models import _wkv

BATCH, LENGTH, CHANNELS = 1, 1024, 256
WANTED = 5.0  # times as fast as the loop


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def arguments():
    generator = torch.Generator().manual_seed(0)
    k, v = (torch.randn(BATCH, LENGTH, CHANNELS, generator=generator) for _ in range(2))
    w, u = -torch.exp(torch.linspace(-5, 3, CHANNELS)), torch.randn(CHANNELS, generator=generator)
    return [x.requires_grad_() for x in (k, v, w, u)]


def forward(form, arguments):
    with torch.no_grad():
        return _wkv.wkv(*arguments, _wkv.empty(BATCH, CHANNELS, arguments[0]), form)


def both(form, arguments):
    y, _ = _wkv.wkv(*arguments, _wkv.empty(BATCH, CHANNELS, arguments[0]), form)
    return torch.autograd.grad(y.sum(), arguments)


@pytest.mark.parametrize("work", [forward, both])
@pytest.mark.parametrize("form", ["recurrent", "scan", "chunkwise"])
def test_wkv(benchmark, work, form, arguments):
    rounds = 5 if form == "recurrent" else 30
    found = benchmark.pedantic(work, args=(form, arguments), rounds=rounds, warmup_rounds=2)
    benchmark.extra_info["tokens_per_second"] = BATCH * LENGTH / benchmark.stats["median"]
    assert found[0].isfinite().all()


@pytest.mark.parametrize("work", [forward, both])
def test_the_faster_form_beats_the_loop(work, arguments):
    fastest = dict.fromkeys(("recurrent", "scan", "chunkwise"), float("inf"))
    for _ in range(7):
        for form in ("recurrent", *("scan", "chunkwise") * 5):
            start = time.perf_counter()
            work(form, arguments)
            fastest[form] = min(fastest[form], time.perf_counter() - start)
    ratio = fastest["recurrent"] / min(fastest["scan"], fastest["chunkwise"])
    print(f"\nWKV {work.__name__} at T={LENGTH}: {ratio:.1f} times as fast as the loop", end="")
    assert ratio >= WANTED
