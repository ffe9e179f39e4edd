"""What a reader asks first, with what must be known to read the answer. A claim that answers one names it as its
`question`; the index and README.md gather such claims by question, in this order."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Question:
    """One question. `meaning` defines what it asks about, which the models' files say at length and tests hold."""

    text: str
    meaning: str


LINEAR = Question(
    "How is RetNet better than linear attention, and what does that cost?",
    "Both sum products of keys and values into a matrix for each head, and turn queries and keys by position. Linear "
    "attention has a feature map and divides by the sum of its weights; RetNet has neither, but a fixed decay, a norm "
    "and a gate.",
)
RWKV = Question(
    "Is RWKV nearly the same as RetNet, and can it be trained in parallel too?",
    "Both are sums over the past that decay, computed in parallel or step by step: so far they are the same. But "
    "RetNet keeps a matrix for each head, with a fixed decay, and RWKV-4 a normalised average for each channel, with "
    "a learned decay. Tests hold the formulas of both; what follows is measured.",
)
FLAT = Question(
    "Is decoding flat, in the length and in the batch?",
    "RetNet's state has one size at every length, but every sequence of a batch has its own, to read and to write.",
)
FACTORS = Question(
    "Which of the paper's factors hold against a good Transformer?",
    "Good is one with fused attention, a reserved cache, a captured graph and a key head for each head; naive one that "
    "writes its scores out, copies its cache for every token and is launched operator by operator. With kv_heads=1 it "
    "has one key head for all.",
)
