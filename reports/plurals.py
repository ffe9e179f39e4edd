"""Counts in words, for those who load no tables for them."""


def plural(count: int, noun: str) -> str:
    """'seed', 'seeds': as it stands beside that count, or without it."""
    return f"{noun}{'' if count == 1 else 's'}"


def counted(count: int, noun: str) -> str:
    """'1 seed', '3 seeds'."""
    return f"{count} {plural(count, noun)}"


def being(count: int, noun: str) -> str:
    """'1 point is', '3 points are'."""
    return f"{counted(count, noun)} {'is' if count == 1 else 'are'}"
