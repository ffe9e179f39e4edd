"""Decoding throughput against the context."""

from reports import panels


class Figure(panels.Swept):
    title = "How many tokens a second are decoded over the whole batch?"
    place = 43
    note = panels.TIMED_NOTE
    measure, metric = "decode", "tokens_per_second"
    over, panel = "sequence_length", "batch_size"
    axes = ("context, tokens", "tokens per second, whole batch")
    words = (" tokens/s", "context")
