"""Averages over all keys up to a token's own, with no bias: AFT's `simple`, WKV without decay.

Letters: B batch, T tokens, D channels. The state holds the triple of `models._wkv`, [B, D] each in float32 or more.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from models import _average, _wkv
from models._state import Call, LayerState

Keys = Float[Tensor, "B T D"]


def averages(k: Keys, v: Keys, call: Call, state: LayerState, implementation: str) -> Keys:
    """The current token counts as any other; `implementation` is that of `_wkv`."""
    before = _wkv.before(state, k)
    none = k.new_zeros(k.shape[-1])  # neither decay nor bonus
    if call.form == "parallel":
        y = whole(k, v, before)
        if call.keep_state:
            _, after = _wkv.wkv(k, v, none, none, before, "scan", implementation)
    else:
        y, after = _wkv.wkv(k, v, none, none, before, call.form, implementation)
    if call.keep_state:
        _wkv.keep(state, after)
    return y


def whole(k: Keys, v: Keys, before: _wkv.Triple) -> Keys:
    """All queries by one product, in the type of the state."""
    T, exact = k.shape[1], before[0].dtype
    w = k.new_full((1, T, T), -torch.inf, dtype=exact).triu(1)
    return _average.banded(k.to(exact), v.to(exact), w, before)
