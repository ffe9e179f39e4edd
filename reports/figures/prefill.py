"""Time to read a prompt against its length."""

from reports import panels


class Figure(panels.Swept):
    title = "How long does reading a prompt take?"
    place = 30
    note = panels.TIMED_NOTE
    measure, metric = "prefill", "prefill_ms"
    over, panel = "sequence_length", "batch_size"
    axes = ("prompt length, tokens", "ms per batch of prompts")
    words = (" ms", "length")
