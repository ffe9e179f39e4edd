"""Time per token of a mixer's operation by itself, against the length."""

from reports import panels


class Figure(panels.Swept):
    title = "Does a mixer's operation by itself take the same time per token at every length?"
    place = 32
    note = panels.TIMED_NOTE
    measure, metric = "operation", "token_ns"
    over, panel = "sequence_length", "batch_size"
    axes = ("sequence length, tokens", "ns per token, forward")
    words = (" ns", "length")
