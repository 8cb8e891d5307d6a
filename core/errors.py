"""Errors that several programs handle."""


class Mistake(Exception):
    """An error in the settings or on the machine that a person must correct.

    The text of the exception names the error; the exit code of the program is 2.
    """

    safe_to_log = True


class PayloadsUnreadable(Exception):
    """The payloads of a Workflow cannot be read or written, because of the state of our own keys.

    The text names no content of the case. A payload that somebody else wrote never raises this error.
    """

    safe_to_log = True


class PayloadKeyMissing(PayloadsUnreadable):
    """The file of payload keys does not have the key that wraps the data key of a case.

    A later try succeeds as soon as an operator has put the key into the file.
    """

    def __init__(self, key_id: str, subject: str, why: str = "is not in the file of HOLDGATE_PAYLOAD_KEYS") -> None:
        super().__init__(f"the payload key {key_id}, which {subject} needs, {why}")
        self.key_id = key_id
        self.subject = subject


class PayloadErased(PayloadsUnreadable):
    """The data key of a case was destroyed, because the data of the case were erased."""

    def __init__(self, subject: str) -> None:
        super().__init__(f"the data of {subject} were erased")
        self.subject = subject
