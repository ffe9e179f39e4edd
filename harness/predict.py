"""Before anything runs: what each point will take, by the cost model on the machine that describes its device.

Seconds are of the whole point as the stopwatch runs it: building, warming up, samples. Bytes are those of the model at
work, above what a process holds before there is one, as harness/memory.py counts them.
"""

import math

import models
from harness import budget, checks, cost, hardware, measures, options, timing
from harness.hardware import Machine
from harness.job import Job
from harness.measures import Measure
from harness.point import Point, Training

STARTED_SECONDS = {"cpu": 0.1, "cuda": 0.8, "mps": 0.8}  # what a process of its own costs, and opening the device
OWN_SIZES_SECONDS = 0.1  # of a measure that depends on no factor, and so works at small sizes of its own
OWN_SIZES_BYTES = 50e6
EVALUATED = 0.5  # of training's time, for evaluations on the way and after it
UNTIMED_PASSES = 5  # of a measure without a stopwatch
UNSTEADY = 2.0  # times as many samples as asked for, until their interval is narrow


def seconds(point: Point) -> float:
    """Of the whole point, its limit at most."""
    started = 0.0 if point.not_applicable else STARTED_SECONDS[point.device]
    return min(uncapped(point), started + (point.limit_seconds or math.inf))


def uncapped(point: Point, least: bool = False) -> float:
    """Of the whole point, whatever its limit. Where `least`, until it has any number: where time is short the stopwatch
    does with fewer samples, and after a training fewer lengths are evaluated."""
    if point.not_applicable:
        return 0.0
    measure, machine = measures.load(point.measure), hardware.here(point.device)
    if point.training is not None:
        spent = _trained(point, point.training, machine) * (1.0 if least else 1 + EVALUATED)
    elif not measure.factors:
        spent = OWN_SIZES_SECONDS
    else:
        spent = _measured(point, measure, job(point), machine, least)
    return STARTED_SECONDS[point.device] + spent


def memory_bytes(point: Point) -> float:
    """At the peak: weights, what training adds to them, activations and the state."""
    if point.not_applicable:
        return 0.0
    measure, machine = measures.load(point.measure), hardware.here(point.device)
    if point.training is None and not measure.factors:
        return OWN_SIZES_BYTES
    asked = job(point)
    optimises = point.training is not None or _optimises(measure)
    trained = cost.training(asked, machine).memory_bytes if optimises else 0.0
    if optimises or _reads(measure):
        return max(trained, cost.context_bytes(asked, machine) if _reads(measure) else 0.0)
    phase = cost.decode if _stepping(measure) else cost.prefill
    return phase(asked, machine).memory_bytes


def job(point: Point) -> Job:
    """What the point has the model do; of accumulated passes, one."""
    chosen, training, measure = options.build(point.model, point.options), point.training, measures.load(point.measure)
    batch, length, dtype = point.batch_size or 1, point.sequence_length or checks.SHORTEST, point.dtype
    if training is not None:
        batch, length = training.batch_size // training.accumulate, training.sequence_length
        dtype = "bfloat16" if training.autocast else dtype
    form = None if checks.decoded(measure) else point.form
    autocast = training is not None and training.autocast
    graph = point.device == "cuda" and bool(measures.stated(measure, "captured"))
    return Job(models.load(point.model), point.shape, chosen, batch, length, dtype, form, autocast, graph=graph)


def _optimises(measure: Measure) -> bool:
    """Whether it takes whole optimiser steps."""
    return bool(measures.stated(measure, "optimises"))


def _reads(measure: Measure) -> bool:
    """Whether it reads a context in pieces."""
    return bool(measures.stated(measure, "reads_context"))


def _stepping(measure: Measure) -> int:
    """Models that read the whole sequence token by token; 0 for most."""
    return int(measures.stated(measure, "stepping_models"))


def _trained(point: Point, training: Training, machine: Machine) -> float:
    if training.seconds is not None:
        return training.seconds
    asked = job(point)
    tokens = training.tokens if training.tokens is not None else (training.flops or 0) / budget.flops_of(point, 1)
    step = cost.training(asked, machine)
    return tokens / step.tokens * step.seconds


def _measured(point: Point, measure: Measure, asked: Job, machine: Machine, least: bool) -> float:
    decoded, stepping = checks.decoded(measure), _stepping(measure)
    if stepping:
        return stepping * asked.length * cost.decode(asked, machine).seconds
    read = cost.prefill(asked, machine).seconds
    step = cost.training(asked, machine).seconds if _optimises(measure) else 0.0
    before = read if decoded else 0.0
    once = step + (0.0 if step and not _reads(measure) else read)
    call = decoded * cost.decode(asked, machine).seconds if decoded else once
    if not any(metric.unit == "ms" for metric in measure.metrics.values()):
        return (1 if least else UNTIMED_PASSES) * call + float(measures.stated(measure, "least_seconds"))
    return before + ((1 + min(point.repeats, timing.FEWEST)) * call if least else _stopwatch(call, point))


def _stopwatch(call: float, point: Point) -> float:
    """Seconds that harness/timing.py spends on work that takes `call` seconds."""
    warm = max(timing.LEAST_WARM_SECONDS, min((timing.WARM_CALLS + 1) * call, timing.MOST_WARM_SECONDS + call))
    least = point.repeats * max(call, timing.sample_seconds(point.device))
    return warm + max(least, min(UNSTEADY * least, timing.MOST_SECONDS))
