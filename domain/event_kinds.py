"""The kinds of audit events, and the data that identifies an event.

A kind is a stored value and never changes. `api/pages/event_words.py` holds the wording of each kind.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class EventKind(StrEnum):
    """The kind of an audit event.

    The kinds are listed in this order: cases, uploads, people, sign-in, the policy, keys and the ledger.
    """

    # A case from its submission to its end
    CASE_SUBMITTED = "case_submitted"
    CASE_NOT_STARTED = "case_not_started"
    CASE_STARTED = "case_started"
    STEP_DONE = "step_done"
    STEP_FAILED = "step_failed"
    STEP_REFUSED = "step_refused"
    CHILD_ENDED = "child_ended"
    ROUND_STARTED = "round_started"
    CANCEL_REQUESTED = "cancel_requested"
    CANCEL_TOO_LATE = "cancel_too_late"
    CASE_CLOSED = "case_closed"
    CASE_RESUBMITTED = "case_resubmitted"
    NOT_RESUBMITTED = "not_resubmitted"
    CASE_RESET = "case_reset"
    CASE_LOST = "case_lost"
    CASE_GOES_ON = "case_goes_on"

    # A gate and its task
    GATE_OPENED = "gate_opened"
    GATE_SKIPPED = "gate_skipped"
    GATE_DECIDED_BY_RULE = "gate_decided_by_rule"
    GATE_REMINDED = "gate_reminded"
    GATE_ESCALATED = "gate_escalated"
    GATE_EXPIRED = "gate_expired"
    GATE_SHORT = "gate_short"
    GATE_CLOSED = "gate_closed"
    DECIDED = "decided"
    DECISION_WITHDRAWN = "decision_withdrawn"
    CHANGES_REQUESTED = "changes_requested"
    TASK_CLAIMED = "task_claimed"
    TASK_RELEASED = "task_released"
    TASK_REASSIGNED = "task_reassigned"
    TASK_DELEGATED = "task_delegated"
    CANDIDATE_REPLACED = "candidate_replaced"
    QUESTION_ASKED = "question_asked"
    QUESTION_ANSWERED = "question_answered"
    QUESTION_WITHDRAWN = "question_withdrawn"
    QUESTION_LAPSED = "question_lapsed"
    CLOCK_SET = "clock_set"
    CLOCK_MOVED = "clock_moved"
    RULES_CHANGED = "rules_changed"
    NUDGED = "nudged"
    INTERVENTION_OPENED = "intervention_opened"
    INTERVENTION_BY_DEFAULT = "intervention_by_default"

    # Messages that were refused
    DECISION_REFUSED = "decision_refused"
    ACTION_REFUSED = "action_refused"
    REVEAL_REFUSED = "reveal_refused"
    DECODING_REFUSED = "decoding_refused"
    MESSAGE_REFUSED = "message_refused"
    MESSAGES_COUNTED = "messages_counted"
    REFUSALS_COUNTED = "refusals_counted"

    # A rollback
    ROLLBACK_REQUESTED = "rollback_requested"
    ROLLBACK_STARTED = "rollback_started"
    ROLLBACK_CALLED_OFF = "rollback_called_off"
    UNDO_DONE = "undo_done"
    UNDO_ATTEMPT_FAILED = "undo_attempt_failed"
    UNDO_FAILED = "undo_failed"
    UNDO_SETTLED = "undo_settled"

    # Evidence
    COMMENT_ADDED = "comment_added"
    ATTACHMENT_ADDED = "attachment_added"
    FIELD_REVEALED = "field_revealed"
    ERASED = "erased"
    HOLD_PLACED = "hold_placed"
    HOLD_LIFTED = "hold_lifted"

    # Uploads
    BATCH_PAUSED = "batch_paused"
    BATCH_RUNNING = "batch_running"
    BATCH_CANCELLING = "batch_cancelling"
    BATCH_CANCELLED = "batch_cancelled"
    BATCH_LOST = "batch_lost"

    # People and groups
    PERSON_ADDED = "person_added"
    PERSON_DEACTIVATED = "person_deactivated"
    PERSON_REACTIVATED = "person_reactivated"
    PERSON_REPLACED = "person_replaced"
    SERVICE_ACCOUNT_ADDED = "service_account_added"
    SERVICE_ACCOUNT_OWNERS_SET = "service_account_owners_set"
    SERVICE_ACCOUNT_SUSPENDED = "service_account_suspended"
    SERVICE_ACCOUNT_DEACTIVATED = "service_account_deactivated"
    SERVICE_ACCOUNT_REACTIVATED = "service_account_reactivated"
    GROUP_JOINED = "group_joined"
    GROUP_LEFT = "group_left"
    GROUP_PROVIDED = "group_provided"
    GROUP_RELEASED = "group_released"
    GROUP_MAPPED = "group_mapped"
    GROUP_UNMAPPED = "group_unmapped"
    PERSON_LINKED = "person_linked"
    NAME_SET = "name_set"
    MANAGER_SET = "manager_set"
    TIME_ZONE_SET = "time_zone_set"
    EMAIL_CHANGED = "email_changed"
    ABSENCE_SET = "absence_set"
    ABSENCE_ENDED = "absence_ended"

    # Signing in
    PASSWORD_SET = "password_set"
    PASSKEY_ADDED = "passkey_added"
    PASSKEY_RENAMED = "passkey_renamed"
    PASSKEY_REMOVED = "passkey_removed"
    PASSKEY_COPIED = "passkey_copied"
    IDENTITY_CONNECTED = "identity_connected"
    IDENTITY_DISCONNECTED = "identity_disconnected"
    TOKEN_MADE = "token_made"
    TOKEN_REVOKED = "token_revoked"
    TOKENS_REVOKED = "tokens_revoked"
    LINK_ASKED = "link_asked"
    LINK_CONFIRMED = "link_confirmed"
    LINK_SENT = "link_sent"
    LINK_PRINTED = "link_printed"
    LINK_WITHDRAWN = "link_withdrawn"
    LINK_USED = "link_used"
    SIGNED_IN = "signed_in"
    SIGNED_OUT = "signed_out"
    SIGNED_OUT_EVERYWHERE = "signed_out_everywhere"
    SIGN_IN_FAILED = "sign_in_failed"
    SIGN_INS_FAILED = "sign_ins_failed"
    SIGN_IN_UNLOCKED = "sign_in_unlocked"

    # Policy and ledger
    POLICY_LOADED = "policy_loaded"
    ACCOUNT_LOCKED = "account_locked"
    ACCOUNT_UNLOCKED = "account_unlocked"
    KEYS_CHANGED = "keys_changed"
    NAMESPACE_BOUND = "namespace_bound"
    PAYLOADS_ENCRYPTED = "payloads_encrypted"
    PAYLOAD_KEY_ADDED = "payload_key_added"
    PAYLOAD_KEY_REMOVED = "payload_key_removed"
    DATA_KEYS_REWRAPPED = "data_keys_rewrapped"
    PAYLOADS_DECODED = "payloads_decoded"
    BOOKS_CLOSED = "books_closed"
    LEDGER_CHANGE_ASKED = "ledger_change_asked"
    LEDGER_CHANGE_CONFIRMED = "ledger_change_confirmed"
    LEDGER_CHANGE_WITHDRAWN = "ledger_change_withdrawn"


SENTENCES = frozenset({"cause", "changed", "error", "plan", "problem", "reason", "summary", "what"})
"""Names of data fields that contain sentences.

A sentence may be reworded or translated, so it does not identify an event.
"""


def identity_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data that identifies the event: all its fields except those that hold sentences."""
    return {
        name: identity_of(value) if isinstance(value, Mapping) else value
        for name, value in data.items()
        if name not in SENTENCES
    }
