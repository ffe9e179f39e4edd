"""The Triton programs of a learned decay's gradient: see `decay_gradient`."""

import triton
import triton.language as tl


@triton.jit
def _rows(x, b, h, rt, rk, steps, inside):
    at = b * steps[0] + h * steps[1] + rt[:, None].to(tl.int64) * steps[2] + rk[None, :]
    return tl.load(x + at, inside, 0.0).to(tl.float32)


@triton.jit(do_not_specialize=["T", "L", "H", "BLOCKS"])
def tokens(q, dq, k, dk, of_q, of_k, sums, T, L, H, BLOCKS, q_steps, dq_steps, k_steps, dk_steps, q_out, k_out,
           K: tl.constexpr, BT: tl.constexpr, BK: tl.constexpr):  # fmt: skip
    """Of [BT] tokens of one head: sum of place (q . dq - k . dk), the place in a segment of L from 1 - L/2; and dq and
    dk, of float32, in the dtype of `of_q` and `of_k`."""
    block, bh = tl.program_id(0) % BLOCKS, tl.program_id(0) // BLOCKS
    b, h = (bh // H).to(tl.int64), (bh % H).to(tl.int64)
    rt, rk = block * BT + tl.arange(0, BT), tl.arange(0, BK)
    inside = (rt < T)[:, None] & (rk < K)[None, :]
    by_q, by_k = _rows(dq, b, h, rt, rk, dq_steps, inside), _rows(dk, b, h, rt, rk, dk_steps, inside)
    reads = _rows(q, b, h, rt, rk, q_steps, inside) * by_q
    writes = _rows(k, b, h, rt, rk, k_steps, inside) * by_k
    place = (rt % L + 1).to(tl.float32) - 0.5 * L
    tl.store(sums + tl.program_id(0), tl.sum(tl.sum(reads - writes, 1) * place, 0))
    at = rt[:, None].to(tl.int64)
    at_q = of_q + b * q_out[0] + h * q_out[1] + at * q_out[2] + rk[None, :]
    at_k = of_k + b * k_out[0] + h * k_out[1] + at * k_out[2] + rk[None, :]
    tl.store(at_q, by_q.to(of_q.dtype.element_ty), inside)
    tl.store(at_k, by_k.to(of_k.dtype.element_ty), inside)


@triton.jit(do_not_specialize=["G", "SIZE", "BLOCKS"])
def states(before, after, sums, G, SIZE, BLOCKS, BLOCK: tl.constexpr, ROUNDS: tl.constexpr):
    """Of the states between a head's segments: the sum of each one times its gradient, over a part of its numbers."""
    block, bn = tl.program_id(0) % BLOCKS, tl.program_id(0) // BLOCKS
    bh, n = (bn // (G - 1)).to(tl.int64), bn % (G - 1)
    total = tl.zeros((BLOCK,), tl.float32)
    for i in tl.range(0, ROUNDS):
        r = (block * ROUNDS + i) * BLOCK + tl.arange(0, BLOCK)
        inside = r < SIZE
        a = tl.load(before + (bh * G + n + 1) * SIZE + r, inside, 0.0)
        total += a * tl.load(after + (bh * G + n) * SIZE + r, inside, 0.0)
    tl.store(sums + tl.program_id(0), tl.sum(total, 0))
