"""Gates: what lets numbers of another through, as it says. One pass over the data on a GPU; torch's own elsewhere."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from models import _kernels
from models._norm import rms_norm


def gated(
    gate: Float[Tensor, "*any D"] | None, x: Float[Tensor, "*any D"], eps: float | None = None
) -> Float[Tensor, "*any D"]:
    """silu(gate) x, or without a gate x; where `eps` is given, of x / sqrt(mean(x^2) + eps) over the last axis."""
    if gate is not None and x.is_cuda and _kernels.usable(x):
        from models._kernels import elementwise

        return elementwise.gated(gate, x, eps)
    y = x if eps is None else rms_norm(x, None, eps)
    return y if gate is None else F.silu(gate) * y
