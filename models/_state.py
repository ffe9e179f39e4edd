"""What a model carries from token to token, and what one pass tells its layers. Letters: B batch, T tokens."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from models._portions import DEFAULT, Portions

LayerState = dict[str, Tensor]


@functools.cache
def state_dtype(dtype: torch.dtype) -> torch.dtype:
    """Of the state and of sums for inputs of `dtype`: those over thousands of tokens need float32 at least."""
    return torch.promote_types(dtype, torch.float32)


@dataclasses.dataclass
class Call:
    """What one pass through the model tells each mixer and feed-forward."""

    form: str
    positions: Int[Tensor, "T"] | Int[Tensor, "B T"]  # of each token in its own sequence; negative on padding
    valid: Bool[Tensor, "B T"] | None  # False on padding; None where there is no padding in this pass
    padding: Int[Tensor, "B"] | None  # padding slots on the left of each sequence, in this pass or an earlier one
    seen: int  # token slots, padding included, that earlier passes consumed
    keep_state: bool  # whether the state after this pass is wanted; without it a mixer may skip that work
    capacity: int | None  # token slots to reserve in states that grow; None: no more than this pass needs
    position: Int[Tensor, ""] | None = None  # `seen` on the device, where the host's count stands still: see State
    portions: Portions = DEFAULT  # what programs of a decode step hold
    shared: Any = None  # what `Model.share` made once for all layers

    def continues(self, x: Float[Tensor, "B T D"], state: LayerState) -> bool:
        """Whether x is one token after others, without gradients: to be computed with no call more than it needs."""
        return x.shape[1] == 1 and self.form == "recurrent" and bool(state) and not torch.is_grad_enabled()

    def between_products(self, implementation: str) -> str:
        """What computes all that stands between a layer's products: the form that is the definition is torch's."""
        return "torch" if self.form == "recurrent" else implementation

    @property
    def last(self) -> Int[Tensor, ""]:
        """The position of the first sequence's last token, on the device."""
        return self.positions[..., -1].flatten()[0]


@dataclasses.dataclass
class State:
    """What a model carries from one token to the next. The step that is given a state consumes it: clone to fork.

    With a `position`, a number on the device, a step takes its place from there and `seen` is only a lower bound: so
    one step, captured in a graph, can be replayed at every position.
    """

    seen: int
    padding: Int[Tensor, "B"] | None
    layers: list[LayerState]
    position: Int[Tensor, ""] | None = None

    def tensors(self) -> Iterator[Tensor]:
        for layer in self.layers:
            yield from layer.values()
        if self.padding is not None:
            yield self.padding

    @property
    def nbytes(self) -> int:
        """Bytes that the live tensors hold."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors())

    def clone(self) -> "State":
        padding = None if self.padding is None else self.padding.clone()
        layers = [{k: v.clone() for k, v in layer.items()} for layer in self.layers]
        return State(self.seen, padding, layers, None if self.position is None else self.position.clone())
