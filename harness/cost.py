"""What one optimiser step, a prompt and a decode step take on a described machine: time, what bounds it, memory.

A roofline of each phase. Its parts run one after the other, each as long as the longer of its FLOPs over the reached
FLOP/s and its bytes over the reached bytes per second:

    products with weights   2 FLOPs a weight and token; weights read once, what goes in and comes out moved once
    products over time      the FLOPs that the model states for its form, those that a mask discards where they are
                            computed; in a decode step the state's bytes
    all else                the numbers that the model states to be moved, and in training the optimiser's

What is moved and kept is that of plain operators, or in 16 bits, on a machine that runs them, of the programs of
models/_kernels. Then every operator costs a launch, and devices wait for each other. A pass back costs twice the one
forward. `floor` is what no kernel can go below: no launches, nothing moved but weights, the state once and the
optimiser's numbers, and of the FLOPs those that are needed for the result.

Several devices: `tensor_parallel` of them split every layer (Megatron-LM, arXiv:1909.08053), adding up their parts of
the activations by two all-reduces a layer and direction; the others each take an equal part of the batch and add up
gradients, in buckets, behind the backward pass as far as that lasts. An all-reduce goes round a ring: 2 (n-1)/n of its
bytes over each device's link, and 2 (n-1) latencies. Left out: input and output of data, imbalance, gathering logits.
"""

import dataclasses
import math

from harness.hardware import Machine
from harness.job import Job, context_memory, inference_memory, live_memory, state_bytes, training_memory
from harness.network import joined, ring_seconds
from models._traffic import Traffic

CAUSES = ("compute", "memory", "launches", "network")
BUCKET_BYTES = 25 * 2**20  # of gradients, as torch's DistributedDataParallel takes by default
OPTIMISER_NUMBERS = 7  # AdamW reads weight, gradient and two moments, and writes all but the gradient
CLIPPING_NUMBERS = 5  # gradients: gathered from their parts, normed, scaled
LOSS_NUMBERS = 14  # of 2 bytes and more, per logit: to float32, its softmax, and back
PROGRAM_LOSS_NUMBERS = 3  # read twice, and the gradient written in its place
EMBEDDING_LAUNCHES, TRAINING_LAUNCHES, OPTIMISER_LAUNCHES = 10, 25, 15  # outside the layers; the last of each layer


@dataclasses.dataclass(frozen=True)
class Phase:
    """One phase of one model. Times are of the whole phase, bytes are of one device."""

    title: str
    tokens: int  # over all devices
    causes: dict[str, float]  # seconds, by what bounded them
    floor_seconds: float
    memory: dict[str, float]  # bytes at the peak, by what they are for

    @property
    def seconds(self) -> float:
        return sum(self.causes.values())

    @property
    def bound(self) -> str:
        return max(self.causes, key=lambda cause: self.causes[cause])

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds

    @property
    def memory_bytes(self) -> float:
        return sum(self.memory.values())


class _Clock:
    """Adds up the parts of a phase on one machine."""

    def __init__(self, job: Job, machine: Machine):
        self.job, self.machine = job, machine
        self.causes = dict.fromkeys(CAUSES, 0.0)
        self.floor = 0.0

    def part(
        self, flops: float, moved_bytes: float, floor_bytes: float | None = None, floor_flops: float | None = None
    ) -> None:
        """One part, on each of the devices that split it; those of the floor where not all are needed."""
        share = 1 / self.job.tensor_parallel
        rate, bandwidth = self.machine.flops(self.job.dtype), self.machine.bandwidth
        compute, memory = share * flops / rate, share * moved_bytes / bandwidth
        self.causes["compute" if compute >= memory else "memory"] += max(compute, memory)
        least_compute = compute if floor_flops is None else share * floor_flops / rate
        least_memory = memory if floor_bytes is None else share * floor_bytes / bandwidth
        self.floor += max(least_compute, least_memory)

    def whole(self, moved_bytes: float) -> None:
        """Bytes that every device moves, however many split the rest."""
        self.causes["memory"] += moved_bytes / self.machine.bandwidth

    def launch(self, operators: float) -> None:
        machine = self.machine
        self.causes["launches"] += operators * (
            machine.graph_launch_seconds if self.job.graph else machine.launch_seconds
        )

    def wait(self, seconds: float) -> None:
        self.causes["network"] += seconds
        self.floor += seconds

    def end(self, title: str, tokens: int, memory: dict[str, float]) -> Phase:
        return Phase(title, tokens, self.causes, self.floor, memory | {"workspace": self.machine.workspace})


def placed(job: Job, machine: Machine) -> Job:
    """The job as that machine does it: by the programs of models/_kernels, in 16 bits where the machine runs them."""
    return dataclasses.replace(job, programs=machine.programs and job.item == 2)


def training(job: Job, machine: Machine) -> Phase:
    """One optimiser step over the whole batch: forward, backward, clipping, AdamW."""
    job = placed(job, machine)
    clock, shape, form = _Clock(job, machine), job.shape, job.form_used
    tokens, passes = job.sequences * job.length, 4 if job.recompute else 3
    _products(clock, tokens, tokens, passes)
    computed, needed = _mixing(job, form, backward=True)
    again = _mixing(job, form)[0] if job.recompute else 0
    clock.part(computed + again, 0, floor_flops=needed)
    layers = [job.traffic(form, job.length, backward=True)]
    layers += [job.traffic(form, job.length)] if job.recompute else []
    for split, rest in layers:
        _besides(clock, split, rest, tokens)
    of_a_logit = PROGRAM_LOSS_NUMBERS if job.programs else LOSS_NUMBERS
    clock.part(0, of_a_logit * shape.vocabulary * tokens * job.item, 0)
    clock.launch(TRAINING_LAUNCHES + shape.layers * OPTIMISER_LAUNCHES)
    backward = 2 / 3 * sum(clock.causes.values())
    numbers = job.parameters * job.weight_item
    clock.part(0, (OPTIMISER_NUMBERS + CLIPPING_NUMBERS) * numbers, OPTIMISER_NUMBERS * numbers)
    clock.wait(_tensor_seconds(clock, tokens, 6 if job.recompute else 4))
    clock.wait(_gradient_seconds(clock, backward))
    return clock.end("training", job.batch * job.length, training_memory(job))


def prefill(job: Job, machine: Machine) -> Phase:
    """The prompts of one batch at once, to the logits after the last token and the state there."""
    job = placed(job, machine)
    clock, tokens = _Clock(job, machine), job.sequences * job.length
    _products(clock, tokens, job.sequences, 1)
    computed, needed = _mixing(job, job.form_used)
    clock.part(computed, 0, floor_flops=needed)
    _besides(clock, *job.traffic(job.form_used, job.length), tokens, EMBEDDING_LAUNCHES)
    clock.wait(_tensor_seconds(clock, tokens, 2))
    return clock.end("prefill", job.batch * job.length, inference_memory(job) | live_memory(job, tokens, job.length))


def decode(job: Job, machine: Machine) -> Phase:
    """One more token of every sequence after a context of `length` tokens."""
    job = placed(job, machine)
    clock, shape, options = _Clock(job, machine), job.shape, job.options
    _products(clock, job.sequences, job.sequences, 1)
    flops = job.sequences * job.kind.flops(shape, options, "recurrent", 1, context=job.length)
    flops -= _weight_flops(job, job.sequences)
    state, least = state_bytes(job), job.kind.state_passes(options, least=True)
    clock.part(flops, (least if job.stepped else job.kind.state_passes(options)) * state, least * state)
    _besides(clock, *job.traffic("recurrent", 1), job.sequences, EMBEDDING_LAUNCHES)
    clock.wait(_tensor_seconds(clock, job.sequences, 2))
    return clock.end("decode", job.batch, inference_memory(job) | live_memory(job, job.sequences, 1))


def context_bytes(job: Job, machine: Machine) -> float:
    """Of one device at the peak while a context of `length` tokens is read in pieces and a token after it decoded."""
    return sum(context_memory(placed(job, machine)).values()) + machine.workspace


def phases(job: Job, machine: Machine) -> list[Phase]:
    """An optimiser step, a prompt and a decode step."""
    return [training(job, machine), prefill(job, machine), decode(job, machine)]


def _products(clock: _Clock, tokens: float, head_tokens: float, passes: int) -> None:
    """Products with weights; each of a layer's four reads or writes about D numbers a token beside its own."""
    job, (layer, head), D = clock.job, clock.job.linear, clock.job.shape.width
    needed = min(passes, 3)  # none need be done again
    for count, weights, seen, beside in ((job.shape.layers, layer, tokens, 4 * D), (1, head, head_tokens, D)):
        moved = passes * count * (weights * job.weight_item + (weights / D + beside) * seen * job.item)
        flops, read = count * 2 * weights * seen, count * weights * job.weight_item
        clock.part(passes * flops, moved, needed * read, needed * flops)


def _mixing(job: Job, form: str, backward: bool = False) -> tuple[float, float]:
    """FLOPs of all that is no product with weights, of all prompts: as many as are computed, and as are needed."""
    sized, products = (job.shape, job.options, form, job.length), _weight_flops(job, job.sequences * job.length)
    counts = (job.kind.flops(*sized, backward=backward), job.kind.needed_flops(*sized, backward=backward))
    passes = 3 if backward else 1
    computed, needed = (job.sequences * count - products * passes for count in counts)
    if job.kind.skips_masked(job.options):
        whole = job.sequences * job.kind.flops(*sized) - products  # forward, with what a mask discards
        computed *= needed / (passes * whole)
    return computed, needed


def _weight_flops(job: Job, tokens: float) -> float:
    """FLOPs of the products with weights in a pass forward, the head's over every token."""
    return 2 * (job.shape.layers * job.linear[0] + job.linear[1]) * tokens


def _besides(clock: _Clock, split: Traffic, rest: Traffic, tokens: float, launches: int = 0) -> None:
    """All that layers do beside products in a pass; `launches` are those outside of layers."""
    layers, item = clock.job.shape.layers, clock.job.item
    clock.part(0, layers * split.moved * tokens * item, 0)
    clock.whole(layers * rest.moved * tokens * item)
    clock.launch(layers * (split.launches + rest.launches) + launches)


def _tensor_seconds(clock: _Clock, tokens: float, each_layer: int) -> float:
    """All-reduces of activations within each group that splits the layers."""
    job, machine = clock.job, clock.machine
    if job.tensor_parallel == 1:
        return 0.0
    size = tokens * job.shape.width * job.item
    link = joined(machine, job.tensor_parallel, 1)
    return job.shape.layers * each_layer * ring_seconds(size, job.tensor_parallel, link)


def _gradient_seconds(clock: _Clock, backward_seconds: float) -> float:
    """What is left of the gradients' all-reduce behind the backward pass: the last bucket at least."""
    job = clock.job
    if job.replicas == 1:
        return 0.0
    size = job.parameters * job.weight_item / job.tensor_parallel
    buckets = math.ceil(size / BUCKET_BYTES)
    seconds = ring_seconds(size, job.replicas, joined(clock.machine, job.replicas, job.tensor_parallel), buckets)
    return max(seconds - backward_seconds, seconds / buckets)
