"""Averages over a window of keys with biases and over all older keys without: AFT's `conv` and `local`; and `full`.

Letters: B batch, T tokens, S keys in reach, D channels, W window, N blocks of W tokens. The state holds the `keys` and
`values` of the last W - 1 tokens, [B, W - 1, D] in the activations' type, and `older_key` and `older_value`, [B, 1, D]
in float32 or more: the one key and value that weigh as much as all tokens before those.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from models import _average, _kernels, _wkv
from models._biases import Biases
from models._cache import extend
from models._state import Call, LayerState, state_dtype

PROGRAMMED = 64  # keys of a window that the programs of `_kernels` know; a longer one is torch's
STEPPED = 512  # the same in a decode step
HELD = ("keys", "values", "older_key", "older_value")
Keys = Float[Tensor, "B T D"]
Reach = Float[Tensor, "B S D"]  # those of the state, then the new ones


def averages(
    biases: Biases, k: Keys, v: Keys, call: Call, state: LayerState, row: Tensor | None, implementation: str
) -> Keys:
    """`row` is w of any one query, where it does not depend on the position; `implementation` that of `_wkv`."""
    exact = state_dtype(k.dtype)
    if call.form == "chunkwise" and implementation == "auto" and fits(biases, k, v, call, state):
        return programmed(biases, k, v, call, state)
    held = state or nothing(biases.window, k, exact)
    if call.form == "recurrent":
        y, after = steps(biases, k, v, call, held, row)
    else:
        before = held["older_key"][:, 0], held["older_value"][:, 0], torch.ones_like(held["older_key"][:, 0])
        keys, values = torch.cat((held["keys"], k), 1).to(exact), torch.cat((held["values"], v), 1).to(exact)
        if call.form == "chunkwise":
            y = blocks(biases, keys, values, call, before)
        else:
            y = whole(biases, keys, values, call, before, fresh=not state)
        after = left(keys, values, k, before, implementation) if call.keep_state else {}
    if call.keep_state:
        state.update(after)
    return y


def fits(biases: Biases, k: Keys, v: Keys, call: Call, state: LayerState) -> bool:
    """Whether the programs of `_kernels` can take these: biases by distance, and no gradient to or from a state."""
    known = _kernels.WITHOUT_PRODUCTS
    if not (biases.heads and biases.window <= PROGRAMMED and _kernels.usable(k, known) and _kernels.usable(v, known)):
        return False
    return not ((state or call.keep_state) and torch.is_grad_enabled())


def programmed(biases: Biases, k: Keys, v: Keys, call: Call, state: LayerState) -> Keys:
    """`blocks` and `left` by the programs of `_kernels`."""
    from models._kernels import banded

    W, T = biases.window, k.shape[1]
    if not (state or call.keep_state):
        return banded.banded(k, v, biases.table)[0]
    held = state or nothing(W, k, torch.float32)
    k, v = torch.cat((held["keys"], k), 1), torch.cat((held["values"], v), 1)
    older = held["older_key"][:, 0], held["older_value"][:, 0]
    y, after = banded.banded(k, v, biases.table, older, call.keep_state)
    if after is not None:
        key, value = (x.unsqueeze(1) for x in after)
        state.update(dict(zip(HELD, (k[:, T:].clone(), v[:, T:].clone(), key, value), strict=True)))
    return y[:, W - 1 :]


def operation(
    k: Keys, v: Keys, heads: int, window: int, call: Call, implementation: str
) -> tuple[Callable[..., Keys], list[Tensor]]:
    """The averages of `conv` from nothing; its biases are one of the inputs."""
    biases = Biases(heads, window, 0, None)
    del biases.table  # each call gives its own

    def run(k: Keys, v: Keys, table: Float[Tensor, "H W"]) -> Keys:
        biases.table = table  # type: ignore[assignment]
        return averages(biases, k, v, call, {}, None, implementation)

    return run, [k, v, torch.randn(heads, window, dtype=k.dtype, device=k.device)]


def nothing(window: int, k: Keys, exact: torch.dtype) -> LayerState:
    """The state before the first token."""
    values = k.new_zeros(k.shape[0], window - 1, k.shape[2])
    older = k.new_zeros(k.shape[0], 1, k.shape[2], dtype=exact)
    return {
        "keys": values + _wkv.NOTHING,
        "values": values,
        "older_key": older + _wkv.NOTHING,
        "older_value": older,
    }


def steps(
    biases: Biases, k: Keys, v: Keys, call: Call, held: LayerState, row: Tensor | None
) -> tuple[Keys, LayerState]:
    """The definition: one token after the other."""
    T, out = k.shape[1], []
    keys, values, older_key, older_value = (held[name] for name in HELD)
    for n in range(T):
        keys = torch.cat((older_key, keys, k[:, n : n + 1]), 1)  # [B, 1 + W, D]
        values = torch.cat((older_value, values, v[:, n : n + 1]), 1)
        t = call.positions[..., n : n + 1]
        out.append(_average.exact(keys, values, biases.row(t, older_key.dtype) if row is None else row))
        older_key, older_value = _average.joined(older_key, older_value, keys[:, 1:2], values[:, 1:2])
        keys, values = keys[:, 2:], values[:, 2:]
    if keys.dtype != k.dtype:
        keys, values = keys.to(k.dtype), values.to(v.dtype)
    after = {"keys": keys, "values": values, "older_key": older_key, "older_value": older_value}
    return torch.stack(out, 1) if T > 1 else out[0].unsqueeze(1), after


def whole(biases: Biases, keys: Reach, values: Reach, call: Call, before: _wkv.Triple, fresh: bool) -> Keys:
    """All queries by one product; `fresh`: what is held holds nothing and is left out."""
    if fresh:
        keys, values = keys[:, biases.window - 1 :], values[:, biases.window - 1 :]
    s = call.positions[..., -1:] + torch.arange(1 - keys.shape[1], 1, device=keys.device)
    return _average.banded(keys, values, biases(call.positions, s, keys.dtype), before)


def blocks(biases: Biases, keys: Reach, values: Reach, call: Call, before: _wkv.Triple) -> Keys:
    """Blocks of W tokens, each with the W - 1 keys before it; a last block that is not full is filled up."""
    t, W = call.positions, biases.window
    T = t.shape[-1]
    N = -(-T // W)
    keys = F.pad(keys, (0, 0, 0, N * W - T), value=_wkv.NOTHING)
    values = F.pad(values, (0, 0, 0, N * W - T))
    rows = (t[..., :1] + torch.arange(N * W, device=t.device)).unflatten(-1, (N, W))
    w = biases(rows, rows[..., :1] + torch.arange(1 - W, W, device=t.device), keys.dtype)
    return _average.banded(keys, values, w if biases.heads else w.view(-1, N, *w.shape[-2:]), before)[:, :T]


def left(keys: Reach, values: Reach, k: Keys, before: _wkv.Triple, implementation: str) -> LayerState:
    """The state after all of the keys, the W - 1 last of which stay."""
    T, zero = k.shape[1], keys.new_zeros(keys.shape[-1])
    _, after = _wkv.wkv(keys[:, :T], values[:, :T], zero, zero, before, "scan", implementation)
    older_key, older_value = _average.as_key(after)
    keys, values = keys[:, T:].to(k.dtype, copy=True), values[:, T:].to(k.dtype, copy=True)
    return {"keys": keys, "values": values, "older_key": older_key, "older_value": older_value}


def full(biases: Biases, k: Keys, v: Keys, call: Call, state: LayerState) -> Keys:
    """All keys with their biases; `recurrent` is the definition, each token over all up to itself."""
    exact, end, t = state_dtype(k.dtype), call.seen + k.shape[1], call.positions
    if call.keep_state or state:
        for name, new in (("keys", k), ("values", v)):
            state[name] = extend(state.get(name), new.unsqueeze(1), call)
        k, v = state["keys"][:, 0, :end], state["values"][:, 0, :end]
    k, v, out = k.to(exact), v.to(exact), []
    s = t[..., -1:] + torch.arange(1 - end, 1, device=t.device)
    if call.form == "parallel":
        return _average.banded(k, v, biases(t, s, exact), _wkv.empty(k.shape[0], k.shape[2], k))
    for n in range(call.seen, end):
        w = biases(s[..., n : n + 1], s[..., : n + 1], exact)[..., 0, :].mT.unsqueeze(-1)  # [*B, S, 1, 1]
        out.append(_average.exact(k[:, : n + 1], v[:, : n + 1], w))
    return torch.stack(out, 1)
