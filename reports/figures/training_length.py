"""Training throughput against the length of the sequences."""

from reports import panels


class Figure(panels.Swept):
    title = "How fast does each model train as sequences grow longer?"
    place = 20
    note = panels.TIMED_NOTE
    measure, metric = "training", "tokens_per_second"
    over, panel = "sequence_length", "batch_size"
    axes = ("training length, tokens", "tokens per second")
    words = (" tokens/s", "length")
