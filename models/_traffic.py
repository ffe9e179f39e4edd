"""What a pass does beside its FLOPs: operators launched, numbers moved through memory, numbers kept to go back.

Counted as plain operators do it, one after the other, each reading its inputs and writing its result; and beside it, as
the programs of `models/_kernels` do it on a GPU in 16 bits, read off their code.

Letters: D width, F feed-forward width, T tokens, H heads, K and V sizes of a query and a value head, C chunk length.
Numbers are per token. Left out everywhere: weights, and of what is moved that which products with weights read and
write, which follows from the parameters.

What is kept forward alone are the most numbers of a part that are there at once, what its products write and what it
gives included. A mixer's are gone when the feed-forward begins, so the two do not add up; those of norms and sums are
there beside either.
"""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Traffic:
    """Of one part of a layer in one pass: forward, or forward and backward together."""

    launches: int | float  # operators
    moved: int | float  # numbers read and written per token
    kept: int | float  # numbers per token that are left to the pass back; forward alone, see above
    on_gpu: "Traffic | None" = None  # the same on a GPU in 16 bits; None: no different

    def __add__(self, other: "Traffic") -> "Traffic":
        on_gpu = self.by_programs + other.by_programs if self.on_gpu or other.on_gpu else None
        return Traffic(self.launches + other.launches, self.moved + other.moved, self.kept + other.kept, on_gpu)

    @property
    def by_programs(self) -> "Traffic":
        """On a GPU in 16 bits."""
        return self.on_gpu or self


def rest_traffic(D: int, backward: bool) -> Traffic:
    """Of a layer's two norms and two residual sums."""
    on_gpu = Traffic(8, 16 * D, 4 * D) if backward else Traffic(2, 8 * D, 4 * D)
    return Traffic(18, 40 * D, 4 * D, on_gpu) if backward else Traffic(8, 14 * D, 4 * D, on_gpu)


def ffn_traffic(D: int, F: int, kind: str, backward: bool) -> Traffic:
    """Of SwiGLU or GELU between its products.

    SwiGLU has gate, input and their product while it makes its output; operators have silu(gate) before that.
    """
    if kind == "swiglu":
        on_gpu = Traffic(11, 8 * F, 3 * F) if backward else Traffic(3, 3 * F, 3 * F + D)
        return Traffic(14, 15 * F, 4 * F, on_gpu) if backward else Traffic(4, 5 * F, max(4 * F, 3 * F + D), on_gpu)
    return Traffic(9, 5 * F, 2 * F) if backward else Traffic(3, 2 * F, max(2 * F, F + D))


def attention_traffic(D: int, H: int, S: int, fused: bool, backward: bool) -> Traffic:
    """Of softmax attention over S slots: fused, or with its weights written out, S numbers of each head a token.

    In 16 bits the softmax has float32 numbers, kept beside those that it is rounded to. While it is taken its scores
    are there as well, in both formats. Forward there are queries, keys and values, the first two once more when they
    are turned, what attention gives, and the output.
    """
    on_gpu = Traffic(16, 26 * D, 4 * D) if backward else Traffic(8, 14 * D, 7 * D)
    own = Traffic(26, 27 * D, 4 * D, on_gpu) if backward else Traffic(8, 22 * D, 7 * D, on_gpu)
    if fused:
        return own
    if backward:
        return own + Traffic(18, 16 * D + 15 * H * S, H * S, Traffic(18, 16 * D + 31 * H * S, 3 * H * S))
    return own + Traffic(6, 4 * H * S, 2 * H * S, Traffic(6, 13 * H * S, 5 * H * S))


def retention_traffic(form: str, T: int, D: int, H: int, K: int, V: int, C: int, backward: bool) -> Traffic:
    """Of a mixer around H heads of retention: features or rotation, norm and gate included.

    What a single step does to the state is left to `Cost.state_passes`. Forward there are, beside states and scores,
    queries and keys as they are projected, turned, by chunk and times a decay; values as they are projected and by
    chunk, their gate, and what retention gives. Programs need no copies; theirs are the most at the output.
    """
    state, wide = H * K * V, (D + H * K) / 2  # numbers; queries and keys are as wide as their features
    if form == "recurrent":
        if backward:
            return Traffic(40 + 14 * T, 95 * wide + 17 * state, 12 * wide + state)
        return Traffic(10 + 4 * T, 25 * wide + (6 * state if T > 1 else 0), 12 * wide)
    C = T if form == "parallel" else min(C, T)
    squares, keys, values = H * C, H * K, H * V  # the first: scores
    rounds = math.ceil(math.log2(-(-T // C)))  # of the scan over the chunks' states, K V numbers each
    states = state / C if rounds else 0.0
    kept = 11 * wide + states + squares
    if form == "parallel":
        if backward:
            return Traffic(62, 92 * wide + 10 * squares, kept)
        return Traffic(21, 25 * wide + 2 * squares, 6 * keys + 2 * values + 2 * squares)
    if backward:
        left = 2 * keys + 4 * values + squares  # turned, values, gate, outputs before and after it, scores
        on_gpu = Traffic(30, 20 * (keys + values) + 6 * squares, left)
        return Traffic(40 + 20 * rounds, 122 * wide + 11 * states + 8 * squares, kept, on_gpu)
    on_gpu = Traffic(12, 9 * keys + 6 * values + 2 * squares, 4 * keys + 3 * values + max(squares, values + D))
    held = 7 * keys + 4 * values + states + squares
    return Traffic(18 + 6 * rounds, 33 * wide + 6 * states + 2 * squares, held, on_gpu)


def average_traffic(form: str, T: int, D: int, inputs: int, backward: bool) -> Traffic:
    """Of a mixer around the weighted average by channel: its gate, its blends and the sums over time.

    Forward there are `inputs` times D numbers, the blends and what is projected, beside the average, what the gate lets
    through and the output; or by operators beside the eight numbers of `_wkv.Average`.
    """
    moved, kept = (240 * D if backward else 95 * D), (18 if backward else inputs + 8) * D
    if form == "recurrent":
        return Traffic(20 + 55 * T, moved, 22 * D) if backward else Traffic(8 + 20 * T, moved, 18 * D)
    on_gpu = Traffic(33, 30 * D, 9 * D) if backward else Traffic(14, 13 * D, (inputs + 3) * D)
    if form == "chunkwise":
        return Traffic(135 + 11 * T**0.5 if backward else 60 + 7.5 * T**0.5, moved, kept, on_gpu)
    rounds = math.log2(max(T, 2))
    return Traffic(95 + 11 * rounds if backward else 35 + 8 * rounds, moved, kept, on_gpu)


def window_traffic(form: str, T: int, D: int, programmed: bool, backward: bool) -> Traffic:
    """Of a mixer around averages over a window of biased keys and all before it, by blocks or by one product.

    Forward there are q, k and v, keys and values after those of the state, and what they give: by programs that and the
    output last, by operators beside the pairs of `_average`, or the eight numbers of the keys that leave the window.
    """
    rounds = math.log2(max(T, 2))
    if form == "parallel":
        return Traffic(83, 87 * D, 8 * D) if backward else Traffic(60 + 8 * rounds, 105 * D, 14 * D)
    on_gpu = Traffic(30, 30 * D, 5 * D) if backward else Traffic(10, 12.5 * D, 6 * D)
    own = Traffic(62 + 6 * rounds, 148 * D, 9 * D) if backward else Traffic(54 + 11 * rounds, 122 * D, 14 * D)
    return dataclasses.replace(own, on_gpu=on_gpu if programmed else None)


def step_traffic(D: int, F: int, sequences: float) -> Traffic:
    """Of one token of each sequence through a layer by the programs of `models/_kernels`: norms and sums are theirs.

    Of a feed-forward's inner numbers they write the activated ones alone.
    """
    return Traffic(5 if sequences <= 1 else 8, 30 * D + 4 * F, 8 * D + F)
