"""How near decoding comes to what the machine allows."""

from reports import panels


class Figure(panels.Floor):
    title = "How near is decoding to its floor?"
    place = 42
    measure = "decode"
    over, panel = "sequence_length", "batch_size"
    axes = ("context, tokens", "share of the floor")
    words = ("", "context")
