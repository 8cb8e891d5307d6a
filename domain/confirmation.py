"""How a person confirms a decision: with the password, or with a passkey."""

from enum import StrEnum

from domain.base import Message


class Confirm(StrEnum):
    """How each decision on a task must be confirmed, from the weakest to the strongest way."""

    NONE = "none"
    PASSWORD = "password"
    """The person enters the password again."""
    PASSKEY = "passkey"
    """The person signs exactly this decision with a passkey."""

    def met_by(self, given: "Confirm") -> bool:
        """Return True if a decision that was confirmed in the way `given` is enough. A stronger way always is."""
        ways = list(Confirm)
        return ways.index(given) >= ways.index(self)


class Confirmation(Message):
    """How a person confirmed a decision. The gateway has checked this before it signs the decision.

    The fields after `name` are those of a passkey, the bytes as base64url. `domain/proof/challenge.py` says what the
    passkey signs.
    """

    method: Confirm
    name: str = ""
    """The name of the person when the decision was confirmed, as it is printed beside the signature."""
    nonce: str = ""
    credential_id: str = ""
    authenticator_data: str = ""
    client_data: str = ""
    signature: str = ""
