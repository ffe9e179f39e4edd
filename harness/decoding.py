"""Decoding, the chosen token fed back: each step with the choice as one CUDA graph where the model allows it.

Letters: B sequences of the batch.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from models._few import choose_
from models._lm import LanguageModel
from models._state import State


class Decoder:
    """Goes on from a state, taking the likeliest token each time.

    Where the model counts on the device, all that a step changes stays where it is: the token, the position and the
    state's tensors. So the step can be captured once and replayed at every position. `again` starts over: the state's
    numbers are then others, their sizes are not, and only those decide the time.
    """

    def __init__(
        self,
        model: LanguageModel,
        token: Int[Tensor, "B"],
        context: State,
        captured: Callable[[Callable[[], Any]], Callable[[], Any]] = lambda step: step,
        in_place: bool | None = None,
    ):
        """`captured` makes a graph of a step; by default only a GPU's steps stay in place, to be captured."""
        self.model, self.token, self.context, self._state = model, token.clone(), context, context
        self._position: Tensor | None = None
        self.step = self._step
        if (token.is_cuda if in_place is None else in_place) and model.counts_on_device(model.options):
            self._position = torch.tensor(context.seen, device=token.device)
            self._state = State(context.seen, context.padding, context.layers, self._position)
            self.step = captured(self._step_in_place)
            self.again()

    def again(self) -> None:
        """Back to the context's last position."""
        if self._position is None:
            self._state = self.context
        else:
            self._position.fill_(self.context.seen)

    def _step(self) -> None:
        logits, self._state = self.model.step(self.token, self._state)
        choose_(self.token, logits)

    def _step_in_place(self) -> None:
        assert self._position is not None
        kept = list(self._state.tensors())
        logits, after = self.model.step(self.token, self._state)
        moved = [(old, new) for old, new in zip(kept, after.tensors(), strict=True) if old is not new]
        if moved:
            torch._foreach_copy_([old for old, _ in moved], [new for _, new in moved])
        choose_(self.token, logits)
        self._position.add_(1)
