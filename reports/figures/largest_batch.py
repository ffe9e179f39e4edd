"""The largest batch that fits in memory, against the context."""

from reports import panels


class Figure(panels.Swept):
    title = "How many sequences fit in memory at once?"
    place = 45
    note = "Counted: so many were decoded after a context of that length, in one process each."
    measure, metric = "largest_batch", "largest_batch"
    over, panel = "sequence_length", None
    axes = ("context, tokens", "largest batch, sequences")
    words = (" sequences", "context")
