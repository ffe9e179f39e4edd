"""One token of an average over the past by channel, behind a sigmoid gate: WKV's (see `_wkv`) and `_window`'s.

Letters: B batch, D channels, H heads, W window. The states stay where they are; a thread has a channel's whole past.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from models._kernels import bucket, early

BLOCK, WARPS = 128, 2  # channels of a program without a window
HELD, CHANNELS = 4096, 64  # keys that a program with one holds, and the most channels

Rows = Float[Tensor, "B D"]


@triton.jit
def _wkv(k, v, gate, decay, first, m, p, q, y, kept, held, row, D, BLOCK: tl.constexpr, EARLY: tl.constexpr):
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
    c, b = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.program_id(1).to(tl.int64)
    inside, at = c < D, b * D + c
    top, sums, weights = tl.load(m + at, inside, 0.0), tl.load(p + at, inside, 0.0), tl.load(q + at, inside, 1.0)
    w = tl.zeros((BLOCK,), tl.float32)
    u = tl.zeros((BLOCK,), tl.float32)
    if decay is not None:
        w = -tl.exp(tl.load(decay + c, inside, 0.0).to(tl.float32))
    if first is not None:
        u = tl.load(first + c, inside, 0.0).to(tl.float32)
    if EARLY:
        tl.extra.cuda.gdc_wait()
    key = tl.load(k + b * row + c, inside, 0.0).to(tl.float32)
    value = tl.load(v + b * row + c, inside, 0.0).to(tl.float32)
    opened = tl.sigmoid(tl.load(gate + b * row + c, inside, 0.0).to(tl.float32))
    largest = tl.maximum(top, u + key)
    past, now = tl.exp(top - largest), tl.exp(u + key - largest)
    average = (now * value + past * sums) / (now + past * weights)
    tl.store(y + at, (opened * average).to(y.dtype.element_ty), inside)
    largest = tl.maximum(top + w, key)
    past, now = tl.exp(top - largest + w), tl.exp(key - largest)
    tl.store(m + at, largest, inside)
    tl.store(p + at, now * value + past * sums, inside)
    tl.store(q + at, now + past * weights, inside)
    if kept is not None:
        tl.store(held + at, tl.load(kept + at, inside, 0.0), inside)


def wkv_(
    k: Rows,
    v: Rows,
    gate: Rows,
    decay: Float[Tensor, "D"] | None,
    first: Float[Tensor, "D"] | None,
    state: tuple[Rows, Rows, Rows],
    moved: tuple[Rows, Rows] | None = None,
) -> Rows:
    """sigmoid(gate) times `_wkv.step` with w = -e^decay and u = first, or both 0; overwrites the state, in float32.

    k, v and the gate are parts of one tensor, with the same step from row to row. For `moved` see `skinny.write`.
    """
    (B, D), y = k.shape, torch.empty(k.shape, dtype=v.dtype, device=v.device)
    wait, how = early(k.device)
    _wkv[(triton.cdiv(D, BLOCK), B)](
        *(k, v, gate, decay, first, *state, y, *(moved or (None, None)), k.stride(0), D, BLOCK, wait),
        num_warps=WARPS,
        **how,
    )
    return y


@triton.jit
def _window(k, v, gate, table, keys, values, older_key, older_value, y, row, D, SIZE, W: tl.constexpr,
            BW: tl.constexpr, BLOCK: tl.constexpr, EARLY: tl.constexpr):  # fmt: skip
    """The W - 1 keys before this one stand as [BW, BLOCK], the oldest first."""
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
    c, b = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.program_id(1).to(tl.int64)
    r, inside, at = tl.arange(0, BW)[:, None], c < D, b * D + c
    there = (r < W - 1) & inside[None, :]
    bias = table + (c // SIZE) * W
    w_past = tl.load(bias[None, :] + (W - 1 - r), there, 0.0).to(tl.float32)
    w_now = tl.load(bias, inside, 0.0).to(tl.float32)
    at_past = b * (W - 1) * D + r * D + c[None, :]
    k_past, v_past = tl.load(keys + at_past, there, 0.0), tl.load(values + at_past, there, 0.0)
    k_old, v_old = tl.load(older_key + at, inside, 0.0), tl.load(older_value + at, inside, 0.0)
    leaving = b * (W - 1) * D + c
    if EARLY:
        tl.extra.cuda.gdc_wait()
    k_now = tl.load(k + b * row + c, inside, 0.0)
    v_now = tl.load(v + b * row + c, inside, 0.0)
    opened = tl.sigmoid(tl.load(gate + b * row + c, inside, 0.0).to(tl.float32))
    k_left, v_left = k_now.to(tl.float32), v_now.to(tl.float32)
    here = k_left + w_now
    past = tl.where(there, k_past.to(tl.float32) + w_past, float("-inf"))
    top = tl.maximum(tl.maximum(tl.max(past, 0), here), k_old)
    past = tl.exp(past - top[None, :])
    now, old = tl.exp(here - top), tl.exp(k_old - top)
    average = tl.sum(past * v_past.to(tl.float32), 0) + now * v_left + old * v_old
    average /= tl.sum(past, 0) + now + old
    tl.store(y + at, (opened * average).to(y.dtype.element_ty), inside)
    if W > 1:
        k_left = tl.load(keys + leaving, inside, 0.0).to(tl.float32)
        v_left = tl.load(values + leaving, inside, 0.0).to(tl.float32)
        tl.debug_barrier()  # every key is read by now, and may be overwritten by another thread's
        tl.store(keys + at_past - D, k_past, there & (r > 0))
        tl.store(values + at_past - D, v_past, there & (r > 0))
        tl.store(keys + leaving + (W - 2) * D, k_now.to(keys.dtype.element_ty), inside)
        tl.store(values + leaving + (W - 2) * D, v_now.to(values.dtype.element_ty), inside)
    top = tl.maximum(k_old, k_left)
    tl.store(older_key + at, top + tl.log(tl.exp(k_old - top) + tl.exp(k_left - top)), inside)
    tl.store(older_value + at, v_old + tl.sigmoid(k_left - k_old) * (v_left - v_old), inside)


def window_(
    k: Rows,
    v: Rows,
    gate: Rows,
    table: Float[Tensor, "H W"],
    keys: Float[Tensor, "B W1 D"],
    values: Float[Tensor, "B W1 D"],
    older_key: Float[Tensor, "B 1 D"],
    older_value: Float[Tensor, "B 1 D"],
) -> Rows:
    """sigmoid(gate) times the average of `_window.steps` with biases of heads and distances; overwrites its state.

    k, v and the gate are parts of one tensor, with the same step from row to row; W is `_window.STEPPED` at most.
    """
    (B, D), (H, W), y = k.shape, table.shape, torch.empty(k.shape, dtype=v.dtype, device=v.device)
    BW = bucket(max(W - 1, 1), 1)
    block = min(CHANNELS, max(8, HELD // BW))
    wait, how = early(k.device)
    _window[(triton.cdiv(D, block), B)](
        *(k, v, gate, table, keys, values, older_key, older_value, y, k.stride(0), D, D // H, W, BW, block, wait),
        num_warps=max(1, BW * block // 1024),
        **how,
    )
    return y
