"""How near training comes to the peak of the device."""

from reports import panels


class Figure(panels.Swept):
    title = "How much of the device does training use?"
    place = 22
    note = (
        "FLOP/s by each model's own count, over what a matrix product in the same number format reached on the same "
        f"machine. {panels.TIMED_NOTE}"
    )
    measure, metric, peak = "training", "flops_per_second", "peak_flops"
    over, panel = "sequence_length", "batch_size"
    axes = ("training length, tokens", "share of measured peak FLOP/s")
    words = ("", "length")
