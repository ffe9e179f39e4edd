"""The sizes of a model and what it costs: parameters, FLOPs, memory traffic and state bytes, stated by each.

Letters: D width, F feed-forward width, L layers, V vocabulary, T tokens.
"""

import dataclasses
from typing import Any, ClassVar

from models._traffic import Traffic, ffn_traffic

Chosen = Any  # an instance of the `Options` of the architecture at hand


@dataclasses.dataclass(frozen=True)
class Shape:
    """The sizes that a comparison holds equal; `ffn_width` is what the parameter budget solves for."""

    width: int
    layers: int
    heads: int
    ffn_width: int
    vocabulary: int = 256
    max_length: int = 2048  # the longest sequence, for architectures with one parameter or phase per position


@dataclasses.dataclass(frozen=True)
class CommonOptions:
    """What every architecture lets one choose; each adds its own. Values are checked by `Model.check`."""

    ffn: str = "swiglu"  # swiglu | gelu, and what an architecture adds
    recompute: bool = False  # in training, keep each block's input alone and go through it again going backward

    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {"ffn": ("swiglu", "gelu")}


@dataclasses.dataclass(frozen=True)
class Count:
    """Parameters of one layer's part: `linear` ones multiply every token once, `other` ones do not."""

    linear: int
    other: int = 0

    @property
    def parameters(self) -> int:
        return self.linear + self.other


class Cost:
    """An architecture overrides what its mixer and feed-forward cost; what follows from that is stated once here."""

    @classmethod
    def default_ffn_width(cls, width: int, options: Chosen) -> int:
        """The feed-forward width where no parameter budget solves for one: 8/3 D for SwiGLU, 4 D for GELU."""
        return round(8 * width / 3) if options.ffn == "swiglu" else 4 * width

    @classmethod
    def mixer_count(cls, shape: Shape, options: Chosen) -> Count:
        """Parameters of one mixer."""
        raise NotImplementedError(f"{cls.__name__} does not count its mixer's parameters")

    @classmethod
    def ffn_count(cls, shape: Shape, options: Chosen) -> Count:
        """Parameters of one feed-forward."""
        return Count((3 if options.ffn == "swiglu" else 2) * shape.width * shape.ffn_width)

    @classmethod
    def norm_parameters(cls, shape: Shape, options: Chosen) -> int:
        """Parameters of all norms outside the mixers."""
        return (2 * shape.layers + 1) * shape.width

    @classmethod
    def mixing_flops(cls, shape: Shape, options: Chosen, form: str, length: int, context: int = 0) -> int:
        """FLOPs of one mixer over `length` tokens of one sequence after `context` tokens, projections left out.

        Counted: products and sums of contractions over time or state, 2 per multiply-add, as the form executes them
        (a full T by T product where it computes one). Left out: norms, gates, rotations, exponentials, decays.
        """
        raise NotImplementedError(f"{cls.__name__} does not count its mixing FLOPs")

    @classmethod
    def skips_masked(cls, options: Chosen) -> bool:
        """Whether products that a mask discards are left out in fact, where `mixing_flops` counts the whole square."""
        return False

    @classmethod
    def layer_state_bytes(cls, shape: Shape, options: Chosen, batch: int, capacity: int, itemsize: int) -> int:
        """Bytes of one layer's state for `batch` sequences with `capacity` token slots, activations of `itemsize`."""
        raise NotImplementedError(f"{cls.__name__} does not state the size of its state")

    @classmethod
    def mixer_traffic(cls, shape: Shape, options: Chosen, form: str, length: int, backward: bool = False) -> Traffic:
        """What one mixer does beside products with weights; one token in the `recurrent` form is a decode step.

        The default is a guess for a mixer that states nothing: a few operators, for every token where it loops.
        """
        looped = 10 * length if form == "recurrent" else 0
        each = Traffic(30 + 3 * looped, 90 * shape.width, 10 * shape.width)
        return each if backward else Traffic(12 + looped, 30 * shape.width, 10 * shape.width)

    @classmethod
    def ffn_traffic(cls, shape: Shape, options: Chosen, backward: bool = False) -> Traffic:
        """What one feed-forward does beside products with weights."""
        return ffn_traffic(shape.width, shape.ffn_width, options.ffn, backward)

    @classmethod
    def state_passes(cls, options: Chosen, least: bool = False) -> float:
        """How often a decode step reads or writes the whole state; `least`: read and written once."""
        return 2.0 if least else 3.0

    @classmethod
    def steps_in_place(cls, options: Chosen) -> bool:
        """Whether a decode step by torch's operators overwrites the state, else another takes its place."""
        return False

    # What follows from it ---------------------------------------------------------------------------------------

    @classmethod
    def pieces_in_place(cls, shape: Shape, options: Chosen) -> bool:
        """The same of several tokens after others: where a step does, and each token has slots of its own to write."""
        one, two = (cls.layer_state_bytes(shape, options, 1, capacity, 4) for capacity in (1, 2))
        return one < two and cls.steps_in_place(options)

    @classmethod
    def parameters_count(cls, shape: Shape, options: Chosen) -> int:
        """All parameters, exactly as many as the live model has."""
        layer = cls.mixer_count(shape, options).parameters + cls.ffn_count(shape, options).parameters
        return shape.layers * layer + 2 * shape.vocabulary * shape.width + cls.norm_parameters(shape, options)

    @classmethod
    def flops(
        cls, shape: Shape, options: Chosen, form: str, length: int, context: int = 0, backward: bool = False
    ) -> int:
        """FLOPs of one sequence of `length` tokens through the model after `context` tokens.

        2 per weight of every matrix and token, plus `mixing_flops`; a backward pass costs twice the forward one. Left
        out: the embedding lookup and everything that is not a contraction.
        """
        linear = cls.mixer_count(shape, options).linear + cls.ffn_count(shape, options).linear
        layer = 2 * linear * length + cls.mixing_flops(shape, options, form, length, context)
        forward = shape.layers * layer + 2 * shape.vocabulary * shape.width * length
        return forward * (3 if backward else 1)

    @classmethod
    def needed_flops(
        cls, shape: Shape, options: Chosen, form: str, length: int, context: int = 0, backward: bool = False
    ) -> int:
        """What `flops` are enough for the same result: what floors, shares of them, FLOP/s and budgets count.

        The recurrence needs no product that a mask discards, and none that only brings tokens together.
        """
        of_forms = (cls.flops(shape, options, each, length, context, backward) for each in (form, "recurrent"))
        return min(of_forms)

    @classmethod
    def needed_mixing_flops(cls, shape: Shape, options: Chosen, form: str, length: int, context: int = 0) -> int:
        """The same of one mixer, forward."""
        return min(cls.mixing_flops(shape, options, each, length, context) for each in (form, "recurrent"))

    @classmethod
    def state_bytes(cls, shape: Shape, options: Chosen, batch: int, capacity: int, itemsize: int = 4) -> int:
        """Bytes of the state of `batch` unpadded sequences with `capacity` token slots, exactly the live tensors'."""
        return shape.layers * cls.layer_state_bytes(shape, options, batch, capacity, itemsize)


def retention_flops(form: str, T: int, K: int, V: int, C: int, context: int) -> int:
    """Of one head of retention over T tokens after `context` others: a state is read only where there is one."""
    if form == "recurrent":
        return 4 * T * K * V
    C = T if form == "parallel" else min(C, T)
    chunks = -(-T // C)
    states = (1 if form == "parallel" else 2) if context else 2 if chunks > 1 else 0  # products with one per token
    return 2 * chunks * C * (C * (K + V) + states * K * V)
