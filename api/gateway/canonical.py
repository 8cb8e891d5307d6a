"""Refuse a message whose values have no canonical form, because the gateway cannot sign such a message."""

from api.http.problems import FieldError, invalid
from domain.messages import Signed
from domain.proof.envelope import NotCanonical, signed_text

_WHY = "It contains a number beyond 2^53, a number that is not finite, or an invalid character, which cannot be signed."


def check_canonical(message: Signed) -> None:
    """Raise Problem 422 with the fields whose values have no canonical form, such as `edits.amount`."""
    try:
        signed_text(message, namespace="", workflow_id="")
    except NotCanonical as wrong:
        errors = [FieldError(field=field, message=_WHY) for field in wrong.fields]
        raise invalid("A value cannot be signed. Change the named fields.", errors) from wrong
