"""Training throughput against the batch."""

from reports import panels


class Figure(panels.Swept):
    title = "How much does a larger batch speed up training?"
    place = 21
    note = panels.TIMED_NOTE
    measure, metric = "training", "tokens_per_second"
    over, panel = "batch_size", "sequence_length"
    axes = ("batch, sequences", "tokens per second")
    words = (" tokens/s", "batch")
