"""The base class of errors that end a program with one sentence for its user."""


class Mistake(Exception):
    """An error in the settings or on the machine that a person must correct.

    The text of the exception names the error; the exit code of the program is 2.
    """

    safe_to_log = True
