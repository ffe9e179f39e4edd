"""How near training comes to what the machine allows."""

from reports import panels


class Figure(panels.Floor):
    title = "How near is training to its floor?"
    place = 22
    measure = "training"
    over, panel = "sequence_length", "batch_size"
    axes = ("training length, tokens", "share of the floor")
    words = ("", "length")
