"""Decode latency against the context."""

from reports import panels


class Figure(panels.Swept):
    title = "Does the time for one more token stay flat as the context grows?"
    place = 40
    note = panels.TIMED_NOTE
    measure, metric = "decode", "token_ms"
    over, panel = "sequence_length", "batch_size"
    axes = ("context, tokens", "ms per decode step")
    words = (" ms", "context")
