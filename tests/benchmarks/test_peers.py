"""Retention's Triton programs beside those of fla-core, in one process on one GPU: milliseconds, medians of many calls
that a graph makes.

    pip install --no-deps fla-core==0.6.0 einops
    python -m pytest -o addopts=-qs tests/benchmarks/test_peers.py -k 64

fla-core tries out its configurations at first use, of chunks of 64 tokens for a minute or two a shape. Its decays are
fixed, so those are both's. Its outputs and gradients are held to the same error as ours before they are timed.
"""

import pytest
import torch

from models import _retention
from tests.cases import off
from tests.programs import COMPILED, on_a_gpu

B, T, CHECKED = 4, 8192, 1000  # sequences and tokens of what is timed, and of what is checked


def given(B, H, T, K, V, dtype=torch.bfloat16):
    """q, k, v and the gradient of the outputs, [B, T, H, size]."""
    made = [torch.randn(B, T, H, size, device="cuda", dtype=dtype) for size in (K, K, V, V)]
    return [x.requires_grad_() for x in made[:3]], made[3]


def trained(run, qkv, do):
    return torch.autograd.grad(run(*qkv), qkv, do)


@on_a_gpu
@pytest.mark.timeout(900)
@pytest.mark.parametrize("chunk", [64, 128])
@pytest.mark.parametrize(("H", "K", "V"), [(8, 256, 512), (16, 128, 128)])
def test_retention_takes_no_longer_than_flas(H, K, V, chunk):
    peer = pytest.importorskip("fla.ops.retention", reason="fla-core is not installed")
    from triton.testing import do_bench_cudagraph

    log_decay = torch.log1p(-torch.exp2(-5.0 - torch.arange(H, device="cuda")))

    def ours(q, k, v):
        return _retention.fused(*(x.transpose(1, 2) for x in (q, k, v)), log_decay)[0].transpose(1, 2)

    def theirs(q, k, v):
        return peer.chunk_retention(q, k, v, scale=1.0, chunk_size=chunk)[0]

    qkv, do = given(1, H, CHECKED, K, V)
    exact = [x.detach().double().transpose(1, 2).requires_grad_() for x in qkv]
    o = _retention.chunkwise(*exact, log_decay.double())[0]
    right = [x.transpose(1, 2) for x in (o, *torch.autograd.grad(o, exact, do.double().transpose(1, 2)))]
    for run in (ours, theirs):
        found = (run(*qkv), *trained(run, qkv, do))
        assert max(off(a, b) for a, b in zip(found, right, strict=True)) <= COMPILED[torch.bfloat16], run.__name__

    qkv, do = given(B, H, T, K, V)
    took = {}
    for run in (ours, theirs):
        with torch.no_grad():
            forward = do_bench_cudagraph(lambda run=run: run(*qkv), return_mode="median")
        took[run.__name__] = forward, do_bench_cudagraph(lambda run=run: trained(run, qkv, do), return_mode="median")
    print(f"\n{B} x {T} tokens, {H} heads of {K} and {V}, fla's chunk {chunk}: ms forward, and with gradients, {took}")
    assert all(a <= b for a, b in zip(took["ours"], took["theirs"], strict=True))
