"""Made-up rows of what is checked and not compared: the harness itself, joules, forms, and a state that drifts."""

from tests.report_data import Builder, ResultSet


def known(device: str = "cpu-made-up") -> ResultSet:
    """The harness on work whose answer is known (time 0.2% over, memory 3%), joules, a state that drifts, and forms
    beside float64; AFT's failed."""
    made = Builder("known", device, "How far off is the harness itself?")
    point = made.point("self_test", "retnet", timing_ended="precision", throttled="no", clock_mhz=2100.0)
    for metric, error in (("time_error", 0.002), ("memory_error", 0.03)):
        made.samples(point, metric, [error * (1 + 0.01 * repeat) for repeat in range(-2, 3)])
    cell = {"batch_size": 4, "sequence_length": 128}
    for label, joules in (("retnet", 0.2), ("transformer", 0.3)):
        point = made.point("energy", label, timing_ended="deadline", throttled="thermal", clock_mhz=1900.0, **cell)
        made.samples(point, "decode_joules_per_token", [joules, 1.1 * joules, 1.2 * joules])
        made.samples(point, "training_joules_per_token", [joules / 50])
    made.point("energy", "aft", "error", "the counter went backwards", **cell)
    point = made.point("forms", "retnet", dtype="bfloat16")
    for kind, eps in (("output", 1.0), ("state", 0.5), ("gradient", 1.5)):
        made.samples(point, f"{kind}_error", [eps / 128])
    made.point("forms", "aft", "error", "in bfloat16: output_error", dtype="bfloat16")
    for dtype, off in (("bfloat16", 0.02), ("float32", 0.01)):
        point = made.point("state_drift", "retnet", batch_size=1, sequence_length=128, dtype=dtype)
        for length in (2, 64, 128):
            made.samples(point, "state_error", [off * min(length, 64) ** 0.2], length=length)
            made.samples(point, "logits_error", [2 * off], length=length)
    made.point("state_drift", "aft", "oom", "no room for two", batch_size=1, sequence_length=128, dtype="float32")
    return made.build()
