"""Decoding, the chosen token or a given one fed back: each step with that as one CUDA graph where the model allows it.

Letters: B sequences of the batch, T tokens.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.graphs import WARM_CALLS
from models._decoding import choose_
from models._lm import LanguageModel
from models._state import State


class Decoder:
    """Goes on from a state, taking the likeliest token each time.

    Where the model counts on the device, all that a step changes stays where it is: the token, the position and the
    state's tensors. So the step can be captured once and replayed at every position. `again` starts over: the state's
    numbers are then others, their sizes are not, and only those decide the time.
    """

    logits: Float[Tensor, "B N"]  # of the last step; the next one of a graph overwrites them

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
        self.logits, self._state = self.model.step(self.token, self._state)
        self._feed()

    def _step_in_place(self) -> None:
        assert self._position is not None
        kept = list(self._state.tensors())
        self.logits, after = self.model.step(self.token, self._state)
        moved = [(old, new) for old, new in zip(kept, after.tensors(), strict=True) if old is not new]
        if moved:
            torch._foreach_copy_([old for old, _ in moved], [new for _, new in moved])
        self._feed()

    def _feed(self) -> None:
        """Overwrites `token` by the next one, and counts on where the position is on the device."""
        choose_(self.token, self.logits, self._position)


class Follower(Decoder):
    """Reads given tokens, the first `prompt` of them at once and each other one by a step."""

    def __init__(
        self,
        model: LanguageModel,
        tokens: Int[Tensor, "B T"],
        captured: Callable[[Callable[[], Any]], Callable[[], Any]] = lambda step: step,
        in_place: bool | None = None,
        prompt: int = 1,
        form: str | None = None,
    ):
        """`form` is what the prompt is read in."""
        self.tokens = tokens.T.contiguous()
        _, context = model.prefill(tokens[:, :prompt], form, capacity=tokens.shape[1] + WARM_CALLS)
        start = context.clone()
        super().__init__(model, self.tokens[prompt], context, captured, in_place)
        for held, first in zip(self._state.tensors(), start.tensors(), strict=True):
            held.copy_(first)  # a step that is captured has run before
        self.token.copy_(self.tokens[prompt])
        self.read = prompt

    @property
    def states(self) -> list[Tensor]:
        """The tensors of the state after the tokens that were read."""
        return list(self._state.tensors())

    def read_to(self, length: int) -> None:
        """Goes on until `length` tokens are read."""
        while self.read < length:
            self.step()
            self.read += 1

    def _feed(self) -> None:
        last = len(self.tokens) - 1
        if self._position is None:
            self.token.copy_(self.tokens[min(self._state.seen, last)])
        else:
            at = self._position.add_(1).clamp(max=last).unsqueeze(0)
            self.token.copy_(self.tokens.index_select(0, at).squeeze(0))
