"""Define what can go wrong between Holdgate and an identity provider."""


class ProviderDown(Exception):
    """Raised if the identity provider does not answer, or answers with an error of its own. `str()` is for the log."""

    safe_to_log = True


class NotAccepted(Exception):
    """Raised if an answer, a token or a sign-in is not accepted.

    `str()` is for the log and never contains a token; `why` is one word for the audit log. `person` is the id of the
    person here whom it concerns, if there is one.
    """

    def __init__(self, why: str, said: str = "", person: str | None = None) -> None:
        super().__init__(f"{why}: {said}" if said else why)
        self.why = why
        self.person = person


class GrantEnded(NotAccepted):
    """Raised if the provider says that a refresh or access token is not valid any more: the person signs in again."""
