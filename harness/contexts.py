"""How a long context is read: in pieces, as a server would, so that what is passing meanwhile stays small beside what
it leaves."""

PAIRS = 2**25  # of a token of a piece and a slot of its context: attention that writes its scores holds them all


def piece(batch: float, length: int) -> int:
    """Tokens of each of `batch` sequences that are read at once, the same for every model; one at least."""
    return max(1, int(PAIRS // (batch * length)))
