"""Learned position biases within a window. Letters: T queries, S keys, H heads."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


class Biases(nn.Module):
    """w[h, t - s] of `heads` heads, or w[t, s] of pairs of positions (`heads` None), a table or of rank `rank`."""

    def __init__(self, heads: int | None, window: int, max_length: int, rank: int | None):
        super().__init__()
        self.heads, self.window, self.max_length, self.rank = heads, window, max_length, rank
        if heads is not None:
            self.table = nn.Parameter(torch.empty(heads, window))
        elif rank is None:
            self.table = nn.Parameter(torch.empty(max_length, max_length))
        else:
            self.rows = nn.Parameter(torch.empty(max_length, rank))
            self.columns = nn.Parameter(torch.empty(max_length, rank))

    def forward(self, t: Int[Tensor, "*n T"], s: Int[Tensor, "*n S"], dtype: torch.dtype) -> Float[Tensor, "*w H T S"]:
        """w of queries at positions t and keys at positions s, -inf for keys of the future. H is 1 without heads."""
        if self.heads and t.dim() > 1:  # distances are those of any sequence
            t, s = t[(0,) * (t.dim() - 1)], s[(0,) * (s.dim() - 1)]
        distance = (t.unsqueeze(-1) - s.unsqueeze(-2)).unsqueeze(-3)
        t, s = t.clamp(0, self.max_length - 1), s.clamp(0, self.max_length - 1)  # what lies outside has no weight
        if self.heads:
            w = self.table.to(dtype)[:, distance[0].clamp(0, self.window - 1)]
        elif self.rank is None:
            w = self.table.to(dtype)[t.unsqueeze(-1), s.unsqueeze(-2)].unsqueeze(-3)
        else:
            w = (self.rows.to(dtype)[t] @ self.columns.to(dtype)[s].mT).unsqueeze(-3)
        return w.masked_fill(distance >= self.window, 0).masked_fill(distance < 0, -torch.inf)

    def row(self, t: Int[Tensor, "*B 1"], dtype: torch.dtype) -> Float[Tensor, "*B S H 1"]:
        """w of one query and the W keys up to its own, the oldest first, after a 0 for those before them."""
        s = t + torch.arange(1 - self.window, 1, device=t.device)
        return F.pad(self(t, s, dtype)[..., 0, :].mT, (0, 0, 1, 0)).unsqueeze(-1)
