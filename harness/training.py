"""How a model is trained: the same for every model, and the same again for the same seed.

Data. A batch is windows at random places of the training text, drawn from (seed, step) alone: no position in the data
needs to be kept, and step n sees the same bytes however often the training was interrupted.

On the CPU the same seed gives the same losses bit for bit; on CUDA some kernels add in any order.
"""

import contextlib
import math
import os
import pathlib
import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from harness import checkpoint
from harness.measures import NotApplicable, Progress
from harness.point import Training
from harness.stepping import Stepper, set_rate
from models._lm import LanguageModel

ROWS = 100  # of the curve, over the whole budget
KEEP_SECONDS = 30.0  # between two checkpoints


def rate(settings: Training, share: float) -> float:
    """The learning rate once `share` of the budget is spent: up from 0 to the peak, then down to `final_rate` of it."""
    if share < settings.warmup:
        return settings.learning_rate * share / settings.warmup
    left = min(1.0, (1 - share) / (1 - settings.warmup)) if settings.warmup < 1 else 1.0
    fall = {
        "cosine": (1 - math.cos(math.pi * left)) / 2,
        "linear": left,
        "constant": 1.0,
    }[settings.schedule]
    return settings.learning_rate * (settings.final_rate + (1 - settings.final_rate) * fall)


def batch(text: np.ndarray, settings: Training, seed: int, step: int) -> Tensor:
    """Windows [B, T + 1] of the text for one step. Raises NotApplicable where the text is shorter than one window."""
    length = settings.sequence_length + 1
    if len(text) < length:
        raise NotApplicable(f"the training text has {len(text):,} bytes; one window needs {length:,}")
    starts = np.random.default_rng([seed, step]).integers(0, len(text) - length + 1, settings.batch_size)
    return torch.from_numpy(np.stack([text[start : start + length] for start in starts]).astype(np.int64))


def steps(model: LanguageModel, settings: Training, form: str) -> int | None:
    """Optimiser steps that the budget pays for, never more; None where it is one of seconds.

    Raises NotApplicable where it does not pay for one.
    """
    tokens = settings.batch_size * settings.sequence_length
    if settings.tokens is not None:
        paid = settings.tokens // tokens
    elif settings.flops is not None:
        one = model.needed_flops(model.shape, model.options, form, settings.sequence_length, backward=True)
        paid = int(settings.flops // (one * settings.batch_size))
    else:
        return None
    if paid < 1:
        raise NotApplicable(f"the training budget does not pay for one step of {tokens:,} tokens")
    return paid


class Clock:
    """Seconds of training: it runs from when it is made, and stands still while `paused`."""

    def __init__(self, seconds: float = 0.0):
        self._began = time.perf_counter() - seconds

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._began += time.perf_counter() - began


def train(
    model: LanguageModel,
    text: np.ndarray,
    settings: Training,
    seed: int,
    form: str,
    kept: pathlib.Path | None = None,
    keep_seconds: float = KEEP_SECONDS,
) -> Iterator[Progress]:
    """Trains until the budget is spent, telling the loss about `ROWS` times.

    Where `kept` holds this training's checkpoint it goes on from there, after telling the rows up to it again. It keeps
    one every `keep_seconds`, and, once there is one, at the end; the caller removes it once it is of no more use. Where
    none can be written it trains all the same.
    """
    device = next(model.parameters()).device
    limit, stepper = steps(model, settings, form), Stepper(model, settings, form)
    adamw = stepper.optimiser
    done = (checkpoint.load(kept, model, adamw) if kept else None) or checkpoint.Done()
    yield from done.rows
    losses = [torch.tensor(loss, dtype=torch.float64) for loss in done.losses]
    clock, saved = Clock(done.seconds), time.monotonic()
    model.train()
    while (share := _share(done.step, limit, clock.seconds, settings)) <= 1:
        set_rate(adamw, rate(settings, share))
        losses.append(stepper(batch(text, settings, seed, done.step).to(device)))
        done.step += 1
        if limit is None:
            losses[-1] = losses[-1].cpu()  # waits, so that the clock tells what was done and not what was asked for
        if int(share * ROWS) > done.told:
            done.told = int(share * ROWS)
            done.rows.append(_row(done.step, losses, clock, settings))
            losses = []
            with clock.paused():
                yield done.rows[-1]
        if kept and time.monotonic() - saved >= keep_seconds:
            with clock.paused():
                done.seconds, done.losses = clock.seconds, [loss.item() for loss in losses]
                checkpoint.keep(kept, model, adamw, done)
                saved = time.monotonic()
    done.seconds, done.losses = clock.seconds, []
    if losses:
        done.rows.append(_row(done.step, losses, clock, settings))
        yield done.rows[-1]
    if kept and os.path.exists(kept):  # it took long: do not lose it to what comes after it
        checkpoint.keep(kept, model, adamw, done)


def _share(done: int, limit: int | None, seconds: float, settings: Training) -> float:
    """The share of the budget that will be spent once one more step is done."""
    if limit is not None:
        return (done + 1) / limit
    assert settings.seconds is not None
    return seconds * (1 + 1 / max(done, 1)) / settings.seconds


def _row(step: int, losses: list[Tensor], clock: Clock, settings: Training) -> Progress:
    mean = torch.stack([loss.cpu().double() for loss in losses]).mean().item()
    return Progress(step, step * settings.batch_size * settings.sequence_length, clock.seconds, mean)
