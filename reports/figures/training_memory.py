"""Peak memory of an optimiser step against the length of its sequences."""

from reports import panels, wording


class Figure(panels.Swept):
    title = "How much memory does training need at its peak?"
    place = 23
    note = "Of a whole optimiser step: held by tensors on CUDA, resident in the process on a CPU."
    measure, metric = "training", "peak_bytes"
    over, panel = "sequence_length", "batch_size"
    axes = ("training length, tokens", "peak, bytes")
    words = ("", "length")
    form = staticmethod(wording.size)
