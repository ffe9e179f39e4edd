"""A rough guess, before anything runs, of each point's time and memory: expect it to be off by several times.

A roofline: FLOPs over a rate, or bytes over a bandwidth, whichever takes longer, plus a fixed cost per operator. The
rates are assumed, not measured: see `MACHINES`.
"""

import dataclasses
import os

from harness import checks, measures
from harness.plan import ITEM_BYTES
from harness.point import Point

STARTED_SECONDS = 0.3  # what a process of its own costs
OWN_SIZES_SECONDS = 1.0  # of a measure that depends on no factor, and so works at small sizes of its own
OPERATORS_PER_LAYER = 25  # that a forward pass launches, one after the other
ACTIVATIONS_PER_LAYER = 20  # of a token, in widths, kept for the backward pass
OPTIMISER_COPIES = 4  # of the weights: themselves, gradients and AdamW's two moments


@dataclasses.dataclass(frozen=True)
class Machine:
    """Rates that well-fed code reaches on hardware of 2020 to 2024."""

    flops_per_second: float
    bytes_per_second: float
    operator_seconds: float
    base_bytes: float  # of a process that has torch loaded


MACHINES = {
    "cpu": Machine(30e9 * (os.cpu_count() or 1), 10e9, 8e-6, 300e6),  # per core: an eighth of AVX-512's peak
    "cuda": Machine(100e12, 1.5e12, 6e-6, 500e6),
    "mps": Machine(5e12, 100e9, 20e-6, 300e6),
}


def seconds(point: Point) -> float:
    """Of the whole point, its limit at most."""
    if point.not_applicable:
        return 0.0
    machine = MACHINES[point.device]
    measure = measures.load(point.measure)
    if point.training:
        spent = _training(point, machine)
    elif not measure.factors:
        spent = OWN_SIZES_SECONDS
    else:
        decoded = checks.decoded(measure)
        tokens = (point.batch_size or 1) * (1 if decoded else point.sequence_length or 128)
        forward = _pass(point, machine, tokens)
        passes = (decoded or 2) * (point.repeats + 3)  # after warm-up; a measure may go back as well
        spent = passes * forward + (decoded > 0) * _pass(point, machine, tokens * (point.sequence_length or 0))
    return STARTED_SECONDS + min(spent, point.limit_seconds or spent)


def memory_bytes(point: Point) -> float:
    """At the peak: weights, what training adds to them, activations and the state."""
    if point.not_applicable:
        return 0.0
    item, training = ITEM_BYTES[point.dtype], point.training
    if training is None and not measures.load(point.measure).factors:
        return MACHINES[point.device].base_bytes
    weights = (point.parameters or 0) * item * (OPTIMISER_COPIES if training else 1)
    batch = training.batch_size // training.accumulate if training else point.batch_size or 1
    length = training.sequence_length if training else point.sequence_length or 128
    kept = point.layers * ACTIVATIONS_PER_LAYER if training else ACTIVATIONS_PER_LAYER
    activations = batch * length * (point.width * kept + point.vocabulary) * item
    return MACHINES[point.device].base_bytes + weights + activations + (point.state_bytes or 0)


def _training(point: Point, machine: Machine) -> float:
    training = point.training
    assert training is not None
    if training.seconds is not None:
        return training.seconds
    per_token = 3 * (point.flops_per_token or 0)
    tokens = training.tokens if training.tokens is not None else (training.flops or 0) / max(per_token, 1)
    steps = tokens / (training.batch_size * training.sequence_length)
    operators = 3 * point.layers * OPERATORS_PER_LAYER * training.accumulate * machine.operator_seconds
    return tokens * per_token / machine.flops_per_second + steps * operators


def _pass(point: Point, machine: Machine, tokens: int) -> float:
    """One forward pass over `tokens` tokens in all."""
    flops = tokens * (point.flops_per_token or 2 * (point.parameters or 0))
    moved = (point.parameters or 0) * ITEM_BYTES[point.dtype] + (point.state_bytes or 0)
    operators = point.layers * OPERATORS_PER_LAYER * machine.operator_seconds
    return max(flops / machine.flops_per_second, moved / machine.bytes_per_second) + operators
