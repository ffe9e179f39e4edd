"""Skinny products: linear maps of a few rows, as in decoding, or of one (gemv).

They are bound by reading the weights, so what stands before and after comes along.

Letters: B rows; K inputs, N outputs; H heads of V inputs each, where those are normalised by head;
S parts of the inputs.

    y = residual + act(W pre(x))     pre: a norm of all inputs, or silu(gate) times x, normalised by head
                                     act: none, gelu, relu squared, or silu(W_1 .) * W_2 ., and times sigmoid(opened)

One row: a program holds all the weights of a few outputs at once, so that as many loads are on their way as registers
allow, and asks for them before it waits for the kernel that makes x. More rows: `before` makes pre(x), and the tensor
cores take weights in tiles that the copy engine brings; where outputs are few the inputs are cut into S parts, and the
sums of parts go into `before` of the next map.
"""

import math

import torch
import triton
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
from triton.tools.tensor_descriptor import TensorDescriptor

from models._kernels import _skinny, bucket, early, elementwise, processors
from models._kernels.blocks import ALIGNED
from models._portions import WHOLE, Portion

MOST = 64  # rows, beyond which torch's products read the weights as fast
ONE_WARPS = 4
OUTPUTS, INPUTS = 64, 128  # of the weights' tile in `few`
CHOICES = 2048  # logits that a program looks at
WARPS, STAGES, CROWDED_STAGES = 4, 5, 3
SHARED = 200_000  # bytes of shared memory for tiles on their way
AHEAD = 40960  # weights and x that a program of `few` asks for before it waits or right after: 160 registers a thread
PROGRAMS = 128  # of `few` at least, where the inputs can be cut
ACTS = {None: 0, "swiglu": 1, "gelu": 2, "squared_relu": 3}

Moved = tuple[Float[Tensor, "B D"], Float[Tensor, "B D"]]


def read(
    x: Float[Tensor, "B D"],
    parts: Float[Tensor, "S B D"] | None,
    scale: Float[Tensor, "D"],
    eps: float,
    weight: Float[Tensor, "_ D"],
    act: str | None = None,
    bias: Float[Tensor, "D"] | None = None,
    portion: Portion = WHOLE,
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B N"]]:
    """x plus the sum of the parts, and act(weight norm(that)), the norm an RMS norm with `scale`; no gradients.

    With a bias it is a layer norm. With act `swiglu` the first half of the weight's rows are the gate's. `portion`
    is that of one row: see `models._portions`.
    """
    total = x if parts is None else torch.empty(x.shape, dtype=x.dtype, device=x.device)
    N = len(weight) // (2 if act == "swiglu" else 1)
    y = torch.empty(len(x), N, dtype=weight.dtype, device=x.device)
    given = x, None if parts is None else parts.contiguous(), total
    if len(x) == 1:
        _map_one(portion, *given, weight, y, scale, bias, None, None, eps, 0, act)
    else:
        map_few(_prepared(*given, scale, bias, None, eps, 0, weight.dtype), weight, y, None, 1, act)
    return total, y


def write(
    x: Float[Tensor, "B D"],
    a: Float[Tensor, "B K"],
    weight: Float[Tensor, "D K"],
    gate: Float[Tensor, "B K"] | None = None,
    heads: int = 0,
    eps: float = 0.0,
    opened: Float[Tensor, "B D"] | None = None,
    moved: Moved | None = None,
    portion: Portion = WHOLE,
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "S B D"] | None]:
    """x and the parts of what is to be added to it: or their sum and None.

    That is weight times a; or times silu(gate) a; and where `heads` is not 0, of the RMS norm of each of so many parts
    of a; and where `opened` is given, sigmoid(opened) times all that. Of `moved` the first is copied to the second: a
    state that programs before this one read, so that none of them could overwrite it. For `portion` see `read`.
    """
    B, D = x.shape
    if B == 1:
        y = torch.empty(1, D, dtype=weight.dtype, device=x.device)
        _map_one(portion, a, None, None, weight, y, None, None, gate, x, eps, heads, None, opened, moved)
        return y, None
    if gate is not None or heads or a.dtype != weight.dtype or not a.is_contiguous():
        a = _prepared(a, None, None, None, None, gate, eps, heads, weight.dtype)
    S = max(1, min(PROGRAMS // triton.cdiv(D, OUTPUTS), triton.cdiv(a.shape[1], 4 * INPUTS))) if B <= MOST else 1
    y = torch.empty(S, B, D, dtype=weight.dtype if S == 1 else torch.float32, device=x.device)
    map_few(a, weight, y, x.contiguous() if S == 1 else None, S, None, opened, moved)
    return (y[0], None) if S == 1 else (x, y)


def likeliest(logits: Float[Tensor, "B N"], token: Int[Tensor, "B"], position: Int[Tensor, ""] | None = None) -> None:
    """Writes the first of the largest of each row to `token`, and adds 1 to `position`."""
    wait, how = early(logits.device)
    B, N = logits.shape
    parts = triton.cdiv(N, CHOICES)
    if parts == 1:
        _skinny.likeliest_of_few[(B,)](logits, token, position, N, bucket(N), wait, num_warps=4, **how)
        return
    tops = torch.empty(B, parts, dtype=torch.float32, device=logits.device)
    places = torch.empty(B, parts, dtype=torch.int32, device=logits.device)
    _skinny.largest[(B, parts)](logits, tops, places, N, CHOICES, wait, num_warps=4, **how)
    _skinny.likeliest[(B,)](tops, places, token, position, parts, N, bucket(parts, 1), wait, num_warps=1, **how)


def _heads(K: int, heads: int) -> tuple[int, int, int, int]:
    """V, H, and the sizes of a block that holds all inputs as heads."""
    V = K // max(heads, 1)
    return V, heads, bucket(max(heads, 1), 1), bucket(V, 16)


def share(most: int, N: int, multiprocessors: int) -> int:
    """Outputs of a program of `one`, a power of two: as many as it may hold, unless a multiprocessor would have none.

    A map of 25M parameters has 4 to 32 programs that hold all they may: an H200 takes half as long again for a step.
    """
    return max(1, min(most, bucket(triton.cdiv(N, multiprocessors), 1)))


def _map_one(
    portion, x, parts, total, weight, y, scale, bias, gate, residual, eps, heads, act, opened=None, moved=None
) -> None:
    K, N, S = x.shape[1], y.shape[1], 0 if parts is None else len(parts)
    V, H, BH, BV = _heads(K, heads)
    BN = share(portion.most // (BH * BV) // (2 if act == "swiglu" else 1), N, processors(x.device))
    wait, how = early(x.device)
    kept, held = moved or (None, None)
    _skinny.one[(triton.cdiv(N, BN),)](
        *(x, parts, total, weight, y, scale, bias, gate, residual, opened, kept, held),
        *(0 if held is None else held.stride(1), N, eps, S, K, V, H, ACTS[act], BN, BH, BV, portion.policy, wait),
        num_warps=ONE_WARPS,
        **how,
    )


def _prepared(x, parts, total, scale, bias, gate, eps, heads, dtype) -> Tensor:
    B, K = x.shape
    V, H, BH, BV = _heads(K, heads)
    programs, BH = (H, 1) if heads else (1, BH)  # a head each
    y = torch.empty(B, K, dtype=dtype, device=x.device)
    wait, how = early(x.device)
    strides, S = (x.stride(0), 0 if gate is None else gate.stride(0)), 0 if parts is None else len(parts)
    given = x, parts, total, y, scale, bias, gate, B, strides, eps, S, K, V, H, BH, BV, wait
    _skinny.before[(B, programs)](*given, num_warps=4 if heads else 8, **how)
    return y


def cut(B: int, K: int, S: int, rows: int, item: int, crowded: bool) -> tuple[int, int, int, int]:
    """Of a program of `few`: rows and inputs of a tile of x, inputs asked for ahead or 0, and tiles on their way.

    It takes one of S parts of K inputs and `rows` of the weights, of `item` bytes a number. Where programs are
    `crowded` each holds less, so that all of them find room at once.
    """
    BB, BK = bucket(B, 16), min(INPUTS, bucket(K, 16))
    blocks, height = triton.cdiv(K, BK), BB + rows
    last = (blocks - (S - 1) * triton.cdiv(blocks, S)) * BK  # inputs of the last part
    ahead = 1 << (AHEAD // (2 if crowded else 1) // height).bit_length() - 1
    stages = max(2, min(CROWDED_STAGES if crowded else STAGES, SHARED // (height * BK * item)))
    return BB, BK, ahead if BK <= ahead <= last else 0, stages


def map_few(x, weight, y, residual, S, act, opened=None, moved=None, P=1) -> None:
    """P maps of as many rows of their own: x [P B, K], weight [P N, K] and y [P, B, N]."""
    if len(x) > P * MOST:
        _map_many(x.unflatten(0, (P, -1)), weight.unflatten(0, (P, -1)), y, residual, act, opened, moved)
        return
    N, items = y.shape[-1], ALIGNED // x.element_size()
    if x.shape[1] % items:  # the copy engine reads rows that begin at multiples of 16 bytes
        x, weight = (F.pad(z, (0, -z.shape[1] % items)) for z in (x, weight))
    B, K = len(x) // P, x.shape[1]
    wait, how = early(x.device)
    grid = triton.cdiv(N, OUTPUTS), S, P
    crowded = math.prod(grid) > 2 * processors(x.device)
    BB, BK, ahead, stages = cut(B, K, S, OUTPUTS * (2 if act == "swiglu" else 1), x.element_size(), crowded)
    of_x, of_w = (TensorDescriptor.from_tensor(z, [rows, BK]) for z, rows in ((x, BB), (weight, OUTPUTS)))
    bits_x, bits_w = (z.view(torch.int32 if z.element_size() == 4 else torch.int16) for z in (x, weight))
    kept, held = moved or (None, None)
    steps = (0, 0) if held is None else held.stride()
    _skinny.few[grid](
        *(of_x, bits_x, of_w, bits_w, y, residual, opened, kept, held, steps),
        *(N, B, K, S, ACTS[act], OUTPUTS, BK, BB, ahead, stages, wait),
        num_warps=WARPS,
        **how,
    )


def _map_many(x, weight, y, residual, act, opened, moved) -> None:
    """`map_few` by torch's products; of x [P, B, K] and weight [P, N, K]."""
    a = torch.bmm(x, weight.mT)
    if act == "swiglu":
        gate, a = a.chunk(2, -1)
        a = elementwise.gated(gate, a, None)
    elif act is not None:
        a = F.gelu(a) if act == "gelu" else F.relu(a).square_()
    if opened is not None:
        a = a * torch.sigmoid(opened)
    torch.add(a.view(y.shape), 0 if residual is None else residual, out=y)
    if moved is not None:
        moved[1].copy_(moved[0])
