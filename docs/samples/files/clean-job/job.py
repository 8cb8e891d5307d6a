"""A job that adds up, and does nothing else."""


def total(amounts: list[int]) -> int:
    return sum(amounts)
