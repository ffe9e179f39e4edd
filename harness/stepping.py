"""One optimiser step: AdamW on the gradients of a batch.

Decay. AdamW's weight decay is on the weights of linear maps only. A norm, a decay rate, an embedding or a table over
positions would be pulled to zero without being used: a rare byte's embedding gets no gradient to hold against it.

Loss. Cross-entropy in float32 at least, whatever the model computes in. Gradient accumulation means it over equal parts
of the batch, so it is the big batch's up to rounding.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from harness import graphs
from harness.point import Training
from models._lm import LanguageModel


def optimiser(model: nn.Module, settings: Training) -> torch.optim.AdamW:
    """AdamW in its fused form, with decay on the weights of linear maps."""
    matrices = [module.weight for module in model.modules() if isinstance(module, nn.Linear)]
    matrix_ids = {id(parameter) for parameter in matrices}
    others = [parameter for parameter in model.parameters() if id(parameter) not in matrix_ids]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    device = matrices[0].device
    graphed = device.type == "cuda"  # a graph reads the rate where it stands, and counts its steps on the device
    rate = torch.tensor(settings.learning_rate, device=device) if graphed else settings.learning_rate
    return torch.optim.AdamW(groups, lr=rate, betas=settings.betas, fused=True, capturable=graphed)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """The rate of the next steps, put where a graph reads it."""
    for group in optimiser.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def loss_of(model: LanguageModel, windows: Tensor, form: str | None, autocast: bool = False) -> Tensor:
    """Mean cross-entropy, in nats, of every token of the windows [B, T + 1] but the first."""
    with torch.autocast(windows.device.type, torch.bfloat16, enabled=autocast):
        return model.loss(windows[:, :-1], windows[:, 1:], form)


def step(
    model: LanguageModel, optimiser: torch.optim.Optimizer, windows: Tensor, settings: Training, form: str | None
) -> Tensor:
    """One optimiser step at the rate that the optimiser is set to; the loss before it, still on the device."""
    total = torch.zeros((), device=windows.device)
    for part in windows.chunk(settings.accumulate):
        loss = loss_of(model, part, form, settings.autocast) / settings.accumulate
        loss.backward()
        total = total + loss.detach()
    nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return total


class Stepper:
    """Optimiser steps of one model over batches of one size, on CUDA as one graph where that can be captured.

    A small model's step has a thousand launches, which take the host longer than the device needs for the work: what is
    compared then is Python. The first steps run one launch at a time, since a capture needs what they leave behind.
    """

    def __init__(
        self,
        model: LanguageModel,
        settings: Training,
        form: str,
        capture: Callable[[Callable[[], Any]], Callable[[], Any] | None] | None = None,
    ):
        """`capture` makes a graph of a step, or None: on CUDA `graphs.capture`, elsewhere nothing does unless given."""
        self.model, self.settings, self.form = model, settings, form
        self.optimiser = optimiser(model, settings)
        self.on_cuda = next(model.parameters()).is_cuda
        self._capture = capture or (graphs.capture if self.on_cuda else None)
        self._replay: Callable[[], Any] | None = None
        self._warm = graphs.WARM_CALLS

    @property
    def undecided(self) -> bool:
        """Whether a later step is still to be captured."""
        return self._capture is not None and self._replay is None

    @property
    def graph(self) -> bool:
        """Whether steps are replayed."""
        return self._replay is not None

    def __call__(self, windows: Int[Tensor, "B T+1"]) -> Float[Tensor, ""]:
        """The loss before the step, still on the device."""
        if self._capture is None:
            return self._step(windows)
        if self._warm:
            self._warm -= 1
            with graphs.aside() if self.on_cuda else contextlib.nullcontext():
                return self._step(windows)
        if self._replay is None:
            self._prepare(windows)
            if self._replay is None:
                return self._step(windows)
        self._windows.copy_(windows)
        self._replay()
        return self._loss.clone()

    def _step(self, windows: Tensor) -> Tensor:
        return step(self.model, self.optimiser, windows, self.settings, self.form)

    def _prepare(self, windows: Tensor) -> None:
        self._windows = windows.clone()

        def work() -> None:
            self._loss = self._step(self._windows)

        if self.on_cuda:
            torch.cuda.empty_cache()  # what the steps before it used is no part of a graph's memory
        assert self._capture is not None
        try:
            self._replay = self._capture(work)
        except torch.OutOfMemoryError as error:
            graphs.tell(error)
            torch.cuda.empty_cache()
        if self._replay is None:
            self._capture = None
            self.optimiser.zero_grad(set_to_none=True)
