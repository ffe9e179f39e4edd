"""What a value can be by its unit: a time of 0, or fewer bytes than none, was measured by nobody."""

# Of any other unit, such as 1 of a relative error, a value may be below 0.
ABOVE_ZERO = ("s", "ms", "µs", "ns", "tokens/s", "bytes/s")
FROM_ZERO = ("bytes", "FLOP/s", "bits/byte", "nats/token", "sequences", "tokens", "J", "J/token", "W")
MOST = 1e30  # no value of any unit comes near it, and what is computed from smaller ones stays finite
LEAST = 1 / MOST  # of what is above 0


def expected(unit: str, value: float) -> str | None:
    """What a value of this unit should be instead; None where it can be so."""
    if not abs(value) < MOST:
        return f"a number below {MOST:.0e}"
    if unit in ABOVE_ZERO and value < LEAST:
        return f"above 0, for its unit is {unit}" if value <= 0 else f"at least {LEAST:.0e}, for its unit is {unit}"
    return f"at least 0, for its unit is {unit}" if unit in FROM_ZERO and value < 0 else None
