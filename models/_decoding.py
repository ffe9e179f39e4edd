"""What a decode step is made of on a GPU: linear maps of one token of each sequence, with what stands around them.

The programs are those of `models._kernels`: `skinny`, and `shifted` and `step` beside it. `portion` is what one holds
of the weights of one sequence's map, and how caches take them: see `models._portions`.

Letters: B sequences, D width, K inputs, N outputs. What is still to be added to x stands in S parts, [S, B, D].
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from models import _kernels
from models._norm import RMSNorm
from models._portions import WHOLE, Portion

Parts = Float[Tensor, "S B D"] | None
Pair = tuple[Float[Tensor, "B 1 D"], Parts]
Norm = RMSNorm | nn.LayerNorm  # with a bias
Moved = tuple[Float[Tensor, "B D"], Float[Tensor, "B D"]] | None  # see `skinny.write`


def fits(x: Float[Tensor, "B T D"], form: str) -> bool:
    """Whether a pass in this form takes x by these programs: one token of each sequence, on a GPU, in 16 bits and
    without gradients. What is to be added to it stands in parts then, between blocks too."""
    return form == "recurrent" and _kernels.usable(x) and x.shape[1] == 1 and not torch.is_grad_enabled()


def summed(delta: Parts, x: Float[Tensor, "B 1 D"]) -> Float[Tensor, "B 1 D"] | None:
    """The parts as one, in the dtype of x."""
    if delta is None or len(delta) == 1:
        return delta if delta is None else delta.transpose(0, 1).to(x.dtype)
    return delta.sum(0).to(x.dtype).unsqueeze(1)


def read(
    x: Float[Tensor, "B 1 D"],
    delta: Parts,
    norm: Norm,
    weight: Float[Tensor, "_ D"],
    act: str | None = None,
    portion: Portion = WHOLE,
) -> tuple[Float[Tensor, "B 1 D"], Float[Tensor, "B N"]]:
    """x + delta, and act(weight norm(x + delta)), the norm an RMS norm or a layer norm."""
    from models._kernels import skinny

    x, y = skinny.read(x[:, 0], delta, norm.weight, norm.eps, weight, act, getattr(norm, "bias", None), portion)
    return x.unsqueeze(1), y


def write(
    x: Float[Tensor, "B 1 D"],
    a: Float[Tensor, "B K"],
    weight: Float[Tensor, "D K"],
    gate: Float[Tensor, "B K"] | None = None,
    heads: int = 0,
    eps: float = 0.0,
    opened: Float[Tensor, "B D"] | None = None,
    moved: Moved = None,
    portion: Portion = WHOLE,
) -> Pair:
    """x and what to add: weight times a, or times silu(gate) a, where `heads` is not 0 after an RMS norm of each.

    For `opened` and `moved` see `skinny.write`.
    """
    from models._kernels import skinny

    x, parts = skinny.write(x[:, 0], a, weight, gate, heads, eps, opened, moved, portion)
    return x.unsqueeze(1), parts


def shifted(
    x: Float[Tensor, "B 1 D"],
    delta: Parts,
    norm: Norm,
    mix: Float[Tensor, "N D"],
    held: Float[Tensor, "B D"],
    weight: Float[Tensor, "_ D"],
    second: Float[Tensor, "_ D"] | None = None,
    portion: Portion = WHOLE,
) -> tuple[Float[Tensor, "B 1 D"], list[Tensor], Moved]:
    """x + delta, and maps of blends of its norm with that of the token before: see `models._kernels.shifted`."""
    from models._kernels import shifted

    x, outputs, moved = shifted.read(x[:, 0], delta, norm, mix, held, weight, second, portion)
    return x.unsqueeze(1), outputs, moved


def embedded(table: nn.Embedding, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
    """The tokens' rows: of one token of each sequence on a GPU by a program, which a step's other programs overlap."""
    plain = type(table).forward is nn.Embedding.forward and table.max_norm is None
    if plain and tokens.shape[1] == 1 and not torch.is_grad_enabled() and _kernels.usable(table.weight):
        from models._kernels import embedding

        return embedding.rows(table.weight, tokens[:, 0]).unsqueeze(1)
    return table(tokens)


def choose_(token: Int[Tensor, "B"], logits: Float[Tensor, "B N"], position: Int[Tensor, ""] | None = None) -> None:
    """Overwrites `token` by the first of the likeliest, and adds 1 to `position`."""
    if _kernels.usable(logits) and logits.is_contiguous():
        from models._kernels import skinny

        skinny.likeliest(logits, token, position)
        return
    torch.argmax(logits, -1, out=token)
    if position is not None:
        position.add_(1)
