"""What every column with text or JSON holds, and with what it is erased.

`docs/privacy.md` lists the same. A test fails for a column without a class. It fills all columns that are erased with a
case or an upload, and looks whether the erasure empties them.
"""

from collections.abc import Mapping
from enum import StrEnum


class Held(StrEnum):
    """What a column holds."""

    CASE = "case"
    """Content of a case. Erased with the case."""
    UPLOAD = "upload"
    """Content of an upload, which no single case owns. Erased with the upload, or with its last case."""
    PERSON = "person"
    """Data about a person, or secrets of a person. Erased with the person."""
    EVENT = "event"
    """Content of an audit event or of a seal. Erased with the case, the upload or the person that it is about."""
    SHORT = "short"
    """Deleted after minutes or days by itself, and with the case or person that it names."""
    REFERENCE = "reference"
    """The reference of a case, or an id that contains a reference. Stays: references must not name people."""
    ID = "id"
    """Ids, codes, states, times, numbers, and digests of random or salted values. Stays."""
    INSTALLATION = "installation"
    """What administrators say about the installation: policies, groups, accounts, reasons. Stays: must not name people
    other than by their ids.
    """


ERASED = frozenset({Held.CASE, Held.UPLOAD, Held.PERSON, Held.EVENT})
"""The classes of columns that an erasure empties."""

_CASE, _UPLOAD, _PERSON, _EVENT = Held.CASE, Held.UPLOAD, Held.PERSON, Held.EVENT
_SHORT, _REFERENCE, _ID, _INSTALLATION = Held.SHORT, Held.REFERENCE, Held.ID, Held.INSTALLATION

COLUMNS: Mapping[str, Mapping[Held, str]] = {
    # Cases and tasks
    "cases": {
        _CASE: "title input result plan rollback words salt idempotency_key",
        _REFERENCE: "case_id reference reference_key resubmits parent workflow_id",
        _ID: "process status requester on_behalf_of asked_for batch_id policy_hash start_digest head_hash ended_as",
    },
    "case_requesters": {_REFERENCE: "case_id", _ID: "person"},
    "tasks": {
        _CASE: "title view state subject words",
        _REFERENCE: "case_id",
        # The amount stays for the sums of the dashboard: without the payee it names nobody.
        _ID: "task_id batch_id process gate kind requester status outcome assignee amount currency asked substitutes",
    },
    "candidates": {_ID: "task_id kind name"},
    "recounts": {_ID: "task_id"},
    "decisions": {
        _CASE: "comment content refusal edits name",
        _REFERENCE: "case_id",
        _ID: "decision_id task_id person verdict status code via on_behalf_of confirmed",
    },
    "pending_confirmations": {_SHORT: "nonce person task_id decision_id"},
    "proofs": {_CASE: "text proof", _REFERENCE: "case_id", _ID: "message_id kind"},
    "actions": {
        _CASE: "content refusal",
        _REFERENCE: "case_id",
        _ID: "action_id task_id person act status code",
    },
    "attachments": {
        _CASE: "filename sha256 content_type note",
        _REFERENCE: "case_id",
        _ID: "attachment_id person",
    },
    "follow_ups": {_ID: "person task_id"},
    "bulk_results": {_SHORT: "id person results"},
    "stopped": {
        _CASE: "cause technical",
        _REFERENCE: "workflow_id case_id",
        _ID: "kind task_id status",
    },
    "case_keys": {_CASE: "wrapped", _REFERENCE: "subject", _ID: "kek"},
    "legal_holds": {_REFERENCE: "subject", _ID: "hold_id kind placed_by lifted_by", _INSTALLATION: "reason"},
    "policies": {_ID: "hash", _INSTALLATION: "text"},
    # Uploads
    "batches": {
        _UPLOAD: "filename sha256 path ignored_columns format mapping",
        _ID: "batch_id process same_file_as requester on_behalf_of asked_for policy_hash status",
    },
    "batch_requesters": {_ID: "batch_id person"},
    "batch_rows": {
        _CASE: "differs changes errors not_again input",
        _REFERENCE: "reference case_id resubmits",
        _ID: "batch_id outcome process",
    },
    "dropped_files": {_UPLOAD: "sha256", _ID: "process batch_id claim"},
    # Receivers
    "effects": {_CASE: "result", _REFERENCE: "key case_id", _ID: "kind state"},
    "dataset_versions": {_CASE: "sha256 profile", _REFERENCE: "case_id", _INSTALLATION: "name"},
    "dataset_rows": {_CASE: "data", _INSTALLATION: "name"},
    "datasets": {_INSTALLATION: "name"},
    "directory_accounts": {_CASE: "username full_name email role manager", _REFERENCE: "case_id"},
    "entitlements": {_CASE: "username", _REFERENCE: "grant_key", _INSTALLATION: "entitlement"},
    "accepted_risks": {
        _CASE: "target findings reason",
        _REFERENCE: "case_id",
        # The digest is that of scanned program files, and must stay: the risk is accepted until it expires.
        _ID: "digest severity accepted_by",
    },
    "accounts": {_INSTALLATION: "name currency"},
    "ledger_changes": {
        _ID: "change_id idempotency_key kind currency status asked_by closed_by",
        _INSTALLATION: "account reason",
    },
    "entries": {
        _CASE: "payee payee_key payee_account",
        _REFERENCE: "idempotency_key case_id reference reference_key undoes",
        _ID: "kind currency",
        _INSTALLATION: "account",
    },
    "lines": {_ID: "layer currency", _INSTALLATION: "account"},
    # The audit log
    "events": {
        _REFERENCE: "event_id case_id",
        _ID: "kind actor digest prev_hash hash",
    },
    "event_payloads": {_EVENT: "salt payload"},
    "event_positions": {},
    "caseless_head": {_ID: "hash"},
    "refusal_counts": {_SHORT: "person about case_id"},
    "chain": {_ID: "peaks seals_hash"},
    "event_blocks": {_ID: "root"},
    "checkpoints": {_ID: "note"},
    "seals": {_EVENT: "salt rows", _REFERENCE: "case_id", _ID: "digest"},
    "seal_positions": {_ID: "hash"},
    "unsequenced": {_ID: "kind"},
    "readers": {_ID: "name"},
    # Notifications
    "account_news": {_PERSON: "about", _ID: "person kind by link_id"},
    "heartbeats": {_ID: "worker"},
    "leases": {_ID: "name holder"},
    "messages": {_SHORT: "message_id channel person state problem"},
    "notices": {_SHORT: "person channel kind case_id task_id held_by message_id"},
    "notice_choices": {_PERSON: "person event choice"},
    # People
    "people": {_PERSON: "name email former_email email_set_by manager time_zone", _ID: "id successor kind"},
    "absences": {_PERSON: "person substitute"},
    "memberships": {_PERSON: "person group_name added_by provider"},
    "provided_groups": {_INSTALLATION: "group_name", _ID: "provider"},
    "tokens": {_PERSON: "hash person label scopes"},
    "token_uses": {_PERSON: "hash"},
    "service_accounts": {_ID: "account scopes created_by"},
    "service_account_owners": {_ID: "account owner"},
    "passwords": {_PERSON: "person hash"},
    "passkeys": {
        _PERSON: "passkey_id person domain credential_id public_key user_handle name transports device_type",
    },
    "passkey_challenges": {_SHORT: "hash person user_handle"},
    "sign_in_tries": {_SHORT: "key"},
    "sessions": {_PERSON: "hash person way agent zone issuer subject provider_session credential"},
    "identities": {_PERSON: "issuer subject person connected_by encrypted_tokens"},
    "logout_tokens": {_SHORT: "hash"},
    "one_time_links": {
        _PERSON: "link_id person way status asked_by confirmed_by closed_by hash second_hash",
    },
    "failed_sign_ins": {_SHORT: "key"},
    "preferences": {_PERSON: "person name value"},
    "scim_users": {_PERSON: "scim_id person user_key external_id attributes"},
    "scim_names": {_PERSON: "user_key person"},
    "scim_groups": {_INSTALLATION: "scim_id name_key external_id group_name attributes"},
    "scim_members": {_PERSON: "scim_group scim_user display"},
    "scim_mappings": {_INSTALLATION: "name_key display_name group_name", _ID: "mapped_by"},
    # The installation
    "installation": {_ID: "id"},
    "rate_limits": {_SHORT: "key"},
    "erased_files": {_SHORT: "path"},
}
"""For each table, the names of its columns with text or JSON by what they hold."""


def held(table: str, kinds: frozenset[Held] = ERASED) -> list[str]:
    """Return the names of the columns of a table that hold one of these kinds of data."""
    return [name for kind, names in COLUMNS[table].items() if kind in kinds for name in names.split()]


WITH_CONTENT = frozenset(
    table for table in COLUMNS if table != "case_keys" and held(table, frozenset({Held.CASE, Held.UPLOAD}))
)
"""The tables whose seals have digests of content. The wrapped key of a case is random, so its digest says nothing."""
