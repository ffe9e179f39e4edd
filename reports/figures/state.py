"""Bytes of the decode state against the context."""

from reports import panels, wording


class Figure(panels.Swept):
    title = "How much must each model remember?"
    place = 50
    note = "Counted from the live tensors after a prompt of that length."
    measure, metric = "memory", "state_bytes"
    over, panel = "sequence_length", "batch_size"
    axes = ("context, tokens", "state or cache, bytes")
    words = ("", "context")
    form = staticmethod(wording.size)
