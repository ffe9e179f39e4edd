"""Cross-entropy of a language model's head without all of its logits: of a chunk of tokens at a time.

Letters: N tokens, D width, V vocabulary.

With 32,000 token kinds the logits are the largest tensor of a training step, and softmax and gradient are as large
again. Where gradients are wanted they are computed chunk by chunk together with the loss, the gradient of the logits in
the logits' place, and what is left to the backward pass is to multiply by a number (as in Liger Kernel, Hsu et al.
2024, arXiv:2410.10989). Until then they are those of the sum, which underflow in no format.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from models import _kernels
from models._state import state_dtype

CHUNK_BYTES = 1 << 28  # of logits: four chunks of a batch of 16k tokens with 32k kinds, each large enough for a GPU
TILE = 128  # tokens of a chunk, or a multiple: as products on GPUs are cut


def cross_entropy(
    hidden: Float[Tensor, "*any D"], weight: Float[Tensor, "V D"], targets: Int[Tensor, "*any"]
) -> Float[Tensor, ""]:
    """Mean over the tokens, in nats, of the logits `hidden @ weight.T`: in float32 at least, also under autocast."""
    dtype = _product_dtype(hidden)
    size = chunk(targets.numel(), weight.shape[0], dtype)
    by_kernel = _kernels.usable(hidden.new_empty(0, dtype=dtype))
    if size >= targets.numel() and not by_kernel:
        return of_logits(F.linear(hidden, weight), targets)
    hidden, targets = hidden.flatten(0, -2), targets.flatten()
    if torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad):
        return _CrossEntropy.apply(hidden, weight, targets, dtype, size)
    return _chunked(hidden, weight, targets, dtype, size, (False, False))[0]


def nats(
    head: nn.Module, hidden: Float[Tensor, "*any D"], targets: Int[Tensor, "*any"], vocabulary: int
) -> Float[Tensor, "*any"]:
    """Of each target, one of `vocabulary` kinds, by the logits `head(hidden)`: in float32 at least, no gradients."""
    size = chunk(targets.numel(), vocabulary, _product_dtype(hidden))
    pieces = zip(hidden.flatten(0, -2).split(size), targets.flatten().split(size), strict=True)
    return torch.cat([_losses(head(x), right, False)[0] for x, right in pieces]).view_as(targets)


def of_logits(logits: Float[Tensor, "*any V"], targets: Int[Tensor, "*any"]) -> Float[Tensor, ""]:
    """The same of logits that there are."""
    return F.cross_entropy(logits.flatten(0, -2).to(state_dtype(logits.dtype)), targets.flatten())


def chunk(tokens: int, vocabulary: int, dtype: torch.dtype) -> int:
    """Tokens of a chunk: of about equal ones, as few as keep to `CHUNK_BYTES` where that is a tile or more."""
    most = max(CHUNK_BYTES // (vocabulary * dtype.itemsize) // TILE * TILE, TILE)
    chunks = -(-tokens // most)
    return tokens if chunks <= 1 else -(-tokens // chunks // TILE) * TILE


def _product_dtype(x: Tensor) -> torch.dtype:
    """Of a product with x: under autocast not that of x."""
    lowered = x.dtype != torch.float64 and torch.is_autocast_enabled(x.device.type)
    return torch.get_autocast_dtype(x.device.type) if lowered else x.dtype


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, targets, dtype, size):
        loss, *gradients = _chunked(hidden, weight, targets, dtype, size, ctx.needs_input_grad[:2])
        ctx.save_for_backward(*gradients)
        ctx.count, ctx.dtypes = len(targets), (hidden.dtype, weight.dtype)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx, scale):
        scale, given = scale / ctx.count, zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        return *(None if x is None else _scaled(x, scale, dtype) for x, dtype in given), None, None, None


def _scaled(x: Tensor, scale: Float[Tensor, ""], dtype: torch.dtype) -> Tensor:
    """In one pass over the data: as a vector of one `scale` keeps its format, and is not rounded to that of x."""
    return torch.mul(x, scale.view(1), out=torch.empty_like(x, dtype=dtype))


def _chunked(hidden, weight, targets, dtype, size, wanted):
    """The mean loss, and the gradients of the sum with respect to `hidden` and `weight`, or None.

    That of `weight` is summed over the chunks in float32 at least: each chunk adds to all of it, and a short type would
    round every time, where the wider sum only moves twice the bytes, little beside the products.
    """
    with torch.autocast(hidden.device.type, enabled=False):
        hidden, weight = hidden.detach().to(dtype), weight.detach().to(dtype)
        dhidden = torch.empty_like(hidden) if wanted[0] else None
        dweight = torch.zeros_like(weight, dtype=state_dtype(dtype)) if wanted[1] else None
        losses = []
        for start in range(0, len(targets), size):
            rows = slice(start, start + size)
            dlogits = hidden[rows] @ weight.T
            found, dlogits = _losses(dlogits, targets[rows], any(wanted))
            losses.append(found)
            if dhidden is not None:
                torch.mm(dlogits, weight, out=dhidden[rows])
            if dweight is not None:
                _add_product(dweight, dlogits.T, hidden[rows])
            del dlogits  # before the next ones are made
        return torch.cat(losses).mean(), dhidden, dweight


def _losses(logits: Float[Tensor, "N V"], targets: Int[Tensor, "N"], gradient: bool) -> tuple[Tensor, Tensor]:
    """The loss of each row and its gradient, in the logits' format and where it can be in their place."""
    if _kernels.usable(logits):
        from models._kernels import cross_entropy as kernel

        return kernel.losses(logits, targets, gradient), logits
    shares = logits.log_softmax(1, dtype=state_dtype(logits.dtype))
    found = F.nll_loss(shares, targets, reduction="none")  # half of the time that gathering takes
    if gradient:
        shares.exp_()
        targets = targets.unsqueeze(1)
        shares.scatter_(1, targets, shares.gather(1, targets) - 1)
    return found, shares.to(logits.dtype)


def _add_product(total: Float[Tensor, "V D"], a: Float[Tensor, "V N"], b: Float[Tensor, "N D"]) -> None:
    """total += a @ b, where `total` may be of a longer format: by one operator where the device has it."""
    if total.dtype == a.dtype:
        total.addmm_(a, b)
    elif _kernels.usable(a):
        torch.addmm(total, a, b, out_dtype=total.dtype, out=total)
    else:
        total += a @ b
