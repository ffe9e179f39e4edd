"""How near decoding the largest batch comes to what the machine allows."""

from reports import panels


class Figure(panels.Floor):
    title = "And how near is decoding that batch to its floor?"
    place = 47
    measure = "largest_batch"
    over, panel = "sequence_length", None
    axes = ("context, tokens", "share of the floor")
    words = ("", "context")
