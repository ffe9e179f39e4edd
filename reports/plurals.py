"""Counts in words, for those who load no tables for them."""


def counted(count: int, noun: str) -> str:
    """'1 seed', '3 seeds'."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def being(count: int, noun: str) -> str:
    """'1 point is', '3 points are'."""
    return f"{counted(count, noun)} {'is' if count == 1 else 'are'}"
