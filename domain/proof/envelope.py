"""The text that a signature of a message covers: a first line with the kind of the message, then canonical JSON.

Everybody with write access to the Temporal namespace can send a message to a Workflow. A Workflow therefore believes
only messages with a signature over this text. The first line (`holdgate-decision-v1`) makes sure that a signature of
one kind is never valid for another kind. The JSON follows RFC 8785, so that a verifier in another language gets the
same bytes. Besides the fields of the message, the JSON names the Temporal namespace and the Workflow, so that a signed
message is valid for one Workflow only.

The fields are listed here, and not taken from the models: a field that a later release adds to a model must not change
what version 1 covers. `tests/domain/test_envelope.py` fails if a field of a message is not covered.
"""

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import rfc8785

from domain.base import Message
from domain.batch import BatchOrder
from domain.confirmation import Confirmation
from domain.messages import Act, Action, Actor, Cancellation, Decision, Resynchronise, Signed, StartNow
from domain.moments import ZonedMoment
from domain.ruling import GateRuling

VERSION = 1


class Kind(StrEnum):
    """The kinds of signed messages. The kind is part of the first line of the signed text."""

    DECISION = "decision"
    ACTION = "action"
    RECOUNT = "recount"
    """An action that makes a gate count its people again. Workers send this action, and no other."""
    CANCELLATION = "cancellation"
    START_NOW = "start-now"
    BATCH_ORDER = "batch-order"
    RESYNCHRONISE = "resynchronise"


class NotCanonical(ValueError):
    """Raised if values of a message have no canonical form, so that the message cannot be signed.

    `fields` are the paths of these values in the message, such as `edits.amount`.
    """

    def __init__(self, fields: list[str]) -> None:
        super().__init__(f"These values have no canonical JSON form: {', '.join(fields)}")
        self.fields = fields


class SignedText(Message):
    """A signature of a message, with the text that the signature must cover."""

    id: str
    kind: Kind
    text: str
    proof: str | None
    at: ZonedMoment
    """When the message was signed."""

    @classmethod
    def of(cls, message: Signed, namespace: str, workflow_id: str) -> "SignedText":
        """Return the signature of a message to this Workflow. Raises NotCanonical."""
        text = signed_text(message, namespace, workflow_id).decode()
        return cls(id=message.id, kind=kind_of(message), text=text, proof=message.proof, at=message.at)


def kind_of(message: Signed) -> Kind:
    """Return the kind of a message. Raises TypeError for a message that is never signed."""
    match message:
        case Decision():
            return Kind.DECISION
        case Action(act=Act.RECOUNT):
            return Kind.RECOUNT
        case Action():
            return Kind.ACTION
        case Cancellation():
            return Kind.CANCELLATION
        case StartNow():
            return Kind.START_NOW
        case BatchOrder():
            return Kind.BATCH_ORDER
        case Resynchronise():
            return Kind.RESYNCHRONISE
    raise TypeError(f"{type(message).__name__} is not a signed message")


def signed_text(message: Signed, namespace: str, workflow_id: str) -> bytes:
    """Return the text that the signature of a message to this Workflow covers. Raises NotCanonical."""
    return canonical_text(kind_of(message), signed_fields(message, namespace, workflow_id))


def signed_fields(message: Signed, namespace: str, workflow_id: str) -> dict[str, Any]:
    """Return the fields that the signature of a message to this Workflow covers."""
    fields = _FIELDS[kind_of(message)](message)
    return {"v": VERSION, "namespace": namespace, "workflow_id": workflow_id, **fields}


def canonical_text(kind: Kind, fields: Mapping[str, Any]) -> bytes:
    """Return the kind and these fields as a text to sign. Raises NotCanonical."""
    try:
        return f"holdgate-{kind}-v{VERSION}\n".encode() + rfc8785.dumps(fields)
    except (ValueError, RecursionError) as error:
        raise NotCanonical(uncanonical(fields)) from error


def uncanonical(value: Any, path: str = "") -> list[str]:
    """Return the paths of the values in `value` that have no canonical JSON form.

    These are integers beyond 2^53, numbers that are not finite, and text with a lone surrogate. A value that is nested
    too deep is named as a whole.
    """
    if _is_canonical(value):
        return []
    children: Mapping[str, Any] = {}
    if isinstance(value, dict):
        children = {name: each for name, each in value.items() if _is_canonical(name)}
    elif isinstance(value, list):
        children = {str(index): each for index, each in enumerate(value)}
    try:
        found = [uncanonical(each, f"{path}.{name}".lstrip(".")) for name, each in children.items()]
    except RecursionError:
        found = []
    return [problem for problems in found for problem in problems] or [path]


def _is_canonical(value: Any) -> bool:
    try:
        rfc8785.dumps(value)
    except (ValueError, RecursionError):
        return False
    return True


def _decision(decision: Any) -> dict[str, Any]:
    return {
        "id": decision.id,
        "task_id": decision.task_id,
        "verdict": decision.verdict.value,
        "comment": decision.comment,
        "revision": decision.revision,
        "edits": decision.edits,
        "shown": decision.shown,
        "confirmation": decision.confirmation and _confirmation(decision.confirmation),
        "by": _actor(decision.by),
        "via": decision.via,
        "at": _moment(decision.at),
    }


def _confirmation(given: Confirmation) -> dict[str, str]:
    return {
        "method": given.method.value,
        "name": given.name,
        "nonce": given.nonce,
        "credential_id": given.credential_id,
        "authenticator_data": given.authenticator_data,
        "client_data": given.client_data,
        "signature": given.signature,
    }


def _action(action: Any) -> dict[str, Any]:
    return {
        "id": action.id,
        "task_id": action.task_id,
        "act": action.act.value,
        "by": _actor(action.by),
        "to": action.to and _actor(action.to),
        "text": action.text,
        "question": action.question,
        "replaces": action.replaces,
        "due_at": action.due_at and _moment(action.due_at),
        "expires_at": action.expires_at and _moment(action.expires_at),
        "ruling": action.ruling and _digest(action.ruling),
        "policy_hash": action.policy_hash,
        "times": action.times,
        "revision": action.revision,
        "via": action.via,
        "at": _moment(action.at),
    }


def _cancellation(cancellation: Any) -> dict[str, Any]:
    return {
        "id": cancellation.id,
        "by": _actor(cancellation.by),
        "reason": cancellation.reason,
        "via": cancellation.via,
        "at": _moment(cancellation.at),
    }


def _start_now(start: Any) -> dict[str, Any]:
    return {"id": start.id, "by": _actor(start.by), "via": start.via, "at": _moment(start.at)}


def _batch_order(order: Any) -> dict[str, Any]:
    return {
        "id": order.id,
        "act": order.act.value,
        "by": _actor(order.by),
        "reason": order.reason,
        "rollback_started": order.rollback_started,
        "completed_too": order.completed_too,
        "at": _moment(order.at),
    }


def _resynchronise(message: Any) -> dict[str, Any]:
    return {"id": message.id, "run_id": message.run_id, "at": _moment(message.at)}


_FIELDS: Mapping[Kind, Callable[[Any], dict[str, Any]]] = {
    Kind.DECISION: _decision,
    Kind.ACTION: _action,
    Kind.RECOUNT: _action,
    Kind.CANCELLATION: _cancellation,
    Kind.START_NOW: _start_now,
    Kind.BATCH_ORDER: _batch_order,
    Kind.RESYNCHRONISE: _resynchronise,
}


def _actor(actor: Actor) -> dict[str, Any]:
    """Return a person with the groups that the message claims for this person. The order of groups has no meaning."""
    away = [{"id": absent.id, "groups": sorted(absent.groups)} for absent in actor.stands_in_for]
    return {"id": actor.id, "kind": actor.kind, "groups": sorted(actor.groups), "stands_in_for": away}


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _digest(ruling: GateRuling) -> str:
    """Return the digest of a ruling.

    A ruling is longer than all other fields together and can contain numbers without a canonical form. Fields with
    their default value are left out, so that a field that a later release adds does not change the digest.
    """
    return hashlib.sha256(ruling.model_dump_json(exclude_defaults=True).encode()).hexdigest()
