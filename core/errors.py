"""The base of errors that end a program with a sentence."""


class Mistake(Exception):
    """An error in the configuration or on the machine that a person must fix. `str()` names it; the exit code is 2."""
