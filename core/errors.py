"""Errors that end a program with a sentence."""


class Mistake(Exception):
    """Something in the configuration or on the machine that a person must change. `str()` says what; exit code 2."""
