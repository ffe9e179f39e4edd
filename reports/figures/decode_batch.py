"""Decode latency against the batch."""

from reports import panels


class Figure(panels.Swept):
    title = "Does the time for one more token stay flat as the batch grows?"
    place = 41
    note = panels.TIMED_NOTE
    measure, metric = "decode", "token_ms"
    over, panel = "batch_size", "sequence_length"
    axes = ("batch, sequences", "ms per decode step")
    words = (" ms", "batch")
