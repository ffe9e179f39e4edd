"""How near reading a prompt comes to what the machine allows."""

from reports import panels


class Figure(panels.Floor):
    title = "How near is reading a prompt to its floor?"
    place = 31
    measure = "prefill"
    over, panel = "sequence_length", "batch_size"
    axes = ("prompt length, tokens", "share of the floor")
    words = ("", "length")
