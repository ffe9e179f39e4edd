"""A state that grows by one slot a token: keys and values that are kept whole. Letters: B batch, T tokens, S slots."""

import torch
from jaxtyping import Float
from torch import Tensor

from models._state import Call


def extend(
    old: Float[Tensor, "B G old K"] | None, new: Float[Tensor, "B G T K"], call: Call, kind: str = "preallocated"
) -> Float[Tensor, "B G S K"]:
    """The cache with the new slots written. In place only where no gradient could pass through it.

    `preallocated` reserves what `call.capacity` asks for and doubles when full; `concatenated` copies the whole cache.
    """
    end, reserved = call.seen + new.shape[2], 0 if old is None else old.shape[2]
    if kind == "concatenated":
        new = new.contiguous()  # or torch would copy all of the cache number by number
        return new if old is None else torch.cat((old, new), 2)
    wanted = max(end, call.capacity or 0)
    if wanted > reserved:  # to what is asked for, else twice the size, so that steps seldom copy
        more = (wanted if call.capacity else max(wanted, 2 * reserved)) - reserved
        spare = new.new_zeros(*new.shape[:2], more, new.shape[3])
        old = spare if old is None else torch.cat((old, spare), 2)
    assert old is not None
    if call.position is not None:
        return old.index_copy_(2, call.position.unsqueeze(0), new)
    if torch.is_grad_enabled():
        return torch.cat((old[:, :, : call.seen], new, old[:, :, end:]), 2)
    old[:, :, call.seen : end] = new
    return old
