"""Bits per byte of text that a model was not trained on, and which bytes of it are scored.

Letters: T tokens of an evaluated sequence, N bytes of the text.

The same bytes are scored at every length: blocks of the longest length, spread evenly over the text, each cut into
sequences of the length at hand. Every byte is predicted once, from the bytes before it in its own sequence and the byte
just before the sequence. Nothing overlaps.
"""

import numpy as np
import torch

from models import _loss
from models._lm import LanguageModel
from models._state import State

TOKENS = 16_384  # in one pass, so that a long sequence takes no more memory than many short ones
SEGMENT = 2048  # longer sequences go through the model in parts of this length, the state carried along
FEWEST_BLOCKS = 4  # of text that bits per byte are told for; a longest length with fewer is halved


def blocks(text: np.ndarray, length: int, doublings: int, most: int) -> np.ndarray:
    """Bytes to score, [blocks, longest + 1]: the first byte of each is only read. `longest` is `length` doubled.

    It is doubled `doublings` times, or less often where the text has no four such blocks. About `most` bytes are
    scored. Empty where the text is shorter than one block of `length`.
    """
    longest = length << doublings
    while longest > length and len(text) - 1 < FEWEST_BLOCKS * longest:
        longest //= 2
    there = max(0, len(text) - 1) // longest
    count = min(there, max(FEWEST_BLOCKS, most // longest))
    starts = np.linspace(0, there - 1, count).round().astype(int) * longest if count else np.zeros(0, int)
    return np.array([text[start : start + longest + 1] for start in starts], dtype=np.int64).reshape(-1, longest + 1)


def sequences(scored: np.ndarray, length: int) -> np.ndarray:
    """The blocks [blocks, longest + 1] cut into sequences [windows, length + 1] that share their end bytes."""
    starts = range(0, scored.shape[1] - 1, length)
    return np.concatenate([scored[:, start : start + length + 1] for start in starts])


def bits(model: LanguageModel, windows: np.ndarray, form: str) -> np.ndarray:
    """Mean bits of the byte at each position of the windows [count, T + 1]: float64 [T]."""
    device, length = next(model.parameters()).device, windows.shape[1] - 1
    each = max(1, TOKENS // length)
    total = np.zeros(length)
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(windows), each):
            total += _bits(model, torch.from_numpy(windows[start : start + each]).to(device), form)
    return total / len(windows)


def by_position(at: np.ndarray) -> list[tuple[int, float]]:
    """(largest position, mean) of buckets that double: positions 1 to 8, to 16, and so on to T."""
    length = len(at)
    ends = [end for end in (8 << i for i in range(64)) if end < length] + [length]
    return [(end, float(at[start:end].mean())) for start, end in zip([0, *ends], ends, strict=False)]


def order0_entropy(text: np.ndarray) -> float:
    """Bits per byte of a model that knows how often each byte occurs in the text, and nothing else."""
    share = np.bincount(text.ravel(), minlength=256) / text.size
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum()) + 0.0


def _bits(model: LanguageModel, windows: torch.Tensor, form: str) -> np.ndarray:
    """Bits of each position summed over a few windows, segment by segment; logits piece by piece, as in training."""
    length, state = windows.shape[1] - 1, State(0, None, [])
    parts = []
    for start in range(0, length, SEGMENT):
        end = min(start + SEGMENT, length)
        hidden, state = model.run(windows[:, start:end], form, state, keep_state=end < length, capacity=length)
        nats = _loss.nats(model.head, hidden, windows[:, start + 1 : end + 1], model.shape.vocabulary)
        parts.append(nats.cpu().double().sum(0))
    return (torch.cat(parts) / np.log(2)).numpy()
