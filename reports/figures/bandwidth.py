"""How near decoding comes to the memory bandwidth."""

from reports import panels


class Figure(panels.Swept):
    title = "How near is decoding to the floor that memory bandwidth sets?"
    place = 42
    note = (
        "Weights and state, read once a step, over the time of a step and the bandwidth of a copy on the same "
        f"machine: 1 is the floor. {panels.TIMED_NOTE}"
    )
    measure, metric, peak = "decode", "bytes_per_second", "peak_bytes_per_second"
    over, panel = "sequence_length", "batch_size"
    axes = ("context, tokens", "share of the bandwidth floor")
    words = ("", "context")
