"""Throughput of each model at its own largest batch, against the context."""

from reports import panels


class Figure(panels.Swept):
    title = "How many tokens a second does each model decode at its own largest batch?"
    place = 46
    note = panels.TIMED_NOTE
    measure, metric = "largest_batch", "tokens_per_second"
    over, panel = "sequence_length", None
    axes = ("context, tokens", "tokens per second, whole batch")
    words = (" tokens/s", "context")
