"""What a reader asks first. A claim that answers one names it as its `question`; the index and README.md gather such
claims by question, in this order."""

LINEAR = "How is RetNet better than linear attention, and what does that cost?"
RWKV = "Is RWKV nearly the same as RetNet, and can it be trained in parallel too?"
FLAT = "Is decoding flat, in the length and in the batch?"
FACTORS = "Which of the paper's factors hold against a good Transformer?"
