"""Tables of cases, tasks and batches."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from store.tables.base import Instant, metadata

policies = Table(
    "policies",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("text", Text, nullable=False),
    Column("loaded_at", Instant, nullable=False),
)

cases = Table(
    "cases",
    metadata,
    Column("case_id", String(900), primary_key=True),
    Column("process", String(60), nullable=False),
    Column("reference", String(120), nullable=False),
    Column("reference_key", String(240), nullable=False),
    Column("round", Integer, nullable=False),
    Column("resubmits", String(900), nullable=True),
    Column("parent", String(900), nullable=True, index=True),  # the parent case, which waits for its end
    Column("status", String(30), nullable=False),
    Column("title", Text, nullable=False),
    Column("requester", String(200), nullable=False),
    # For a case that a service account started: the person in whose name, and all people who count as requester, too.
    Column("on_behalf_of", String(200), nullable=True),
    Column("asked_for", JSON, nullable=False, server_default="[]"),
    Column("priority", Integer, nullable=False),
    Column("batch_id", String(60), nullable=True),
    Column("policy_hash", String(64), nullable=False),
    Column("input", JSON, nullable=False),
    Column("result", JSON, nullable=True),  # CaseResult, whole
    # Of the only start input with which `workflow_id`, or the case's own Workflow, may run: domain/start_digest.py.
    Column("start_digest", String(64), nullable=False),
    Column("start_at", Instant, nullable=True),
    Column("submitted_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("closed_at", Instant, nullable=True),
    Column("idempotency_key", String(64), nullable=True, unique=True),  # hash of person and Idempotency-Key
    Column("head_count", Integer, nullable=False, default=0),  # of the case's chain of events
    Column("head_hash", String(64), nullable=False, default=""),
    Column("workflow_id", String(1000), nullable=True),  # the Workflow that rolls it back; null: its own runs it
    Column("plan", JSON, nullable=True),  # list of PlannedUndo, oldest first: what a rollback would undo
    Column("rollback", JSON, nullable=True),  # RollbackAsked: why `workflow_id` was started
    Column("resubmit_at", Instant, nullable=True),  # when the next round starts automatically
    # Its first end, stored by `store.cases.durations`; a later rollback does not change these columns.
    Column("ended_at", Instant, nullable=True),
    Column("ended_as", String(30), nullable=True),
    Column("took_ms", BigInteger, nullable=True),
    Column("waited_ms", BigInteger, nullable=True),
    Column("words", String(400), nullable=False, server_default=""),  # case id, reference and title, as searched
    # Random, part of every digest of the case's content. Without it nobody can guess the content of an erased case.
    Column("salt", String(32), nullable=True),
    Column("erased_at", Instant, nullable=True),  # its content was erased; the row stays, with ids, status and times
    UniqueConstraint("process", "reference_key", "round"),
    Index("ix_cases_newest", "submitted_at", "case_id"),
    Index("ix_cases_process", "process", "submitted_at", "case_id"),
    # With the process, so that people who oversee some processes count them without reading rows.
    Index("ix_cases_status", "status", "submitted_at", "requester", "process"),
    Index("ix_cases_batch", "batch_id", "status"),
    Index("ix_cases_batch_newest", "batch_id", "submitted_at", "case_id"),
    Index("ix_cases_requester", "requester", "submitted_at"),
    Index("ix_cases_on_behalf_of", "on_behalf_of", "submitted_at"),
    Index(
        "ix_cases_resubmit",
        "resubmit_at",
        sqlite_where=text("resubmit_at IS NOT NULL"),
        postgresql_where=text("resubmit_at IS NOT NULL"),
    ),
    # Covers all dashboard queries of ended cases: the rows are large, and a dashboard counts a hundred thousand.
    Index(
        "ix_cases_ended",
        "ended_at",
        "ended_as",
        "status",
        "took_ms",
        "waited_ms",
        "requester",
        "process",
        sqlite_where=text("ended_at IS NOT NULL"),
        postgresql_where=text("ended_at IS NOT NULL"),
    ),
    Index(
        "ix_cases_taken_back",
        "closed_at",
        "requester",
        "case_id",
        "process",
        sqlite_where=text("status = 'rolled_back'"),
        postgresql_where=text("status = 'rolled_back'"),
    ),
)

case_requesters = Table(
    "case_requesters",
    metadata,
    Column("case_id", ForeignKey("cases.case_id"), primary_key=True),
    Column("person", String(200), primary_key=True),
    Index("ix_case_requesters_person", "person", "case_id"),
)
"""The people in `cases.asked_for`, one row for each, for queries."""

tasks = Table(
    "tasks",
    metadata,
    Column("task_id", String(40), primary_key=True),
    Column("case_id", ForeignKey("cases.case_id"), nullable=False, index=True),
    Column("batch_id", String(60), nullable=True),
    Column("process", String(60), nullable=False),
    Column("gate", String(60), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("title", Text, nullable=False),
    Column("requester", String(200), nullable=False),
    Column("status", String(10), nullable=False),
    Column("outcome", String(30), nullable=True),
    Column("opened_at", Instant, nullable=False),
    Column("closed_at", Instant, nullable=True),
    Column("due_at", Instant, nullable=True),
    Column("expires_at", Instant, nullable=True),
    Column("priority", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("given", Integer, nullable=False),
    Column("view", JSON, nullable=False),  # the TaskView at the opening; `state` and the columns above override it
    Column("state", JSON, nullable=True),  # other changes since, as fields of TaskView
    Column("assignee", String(200), nullable=True),
    # Columns for search, groups and sums of lists; `store.cases.tasks` derives them from the current task.
    Column("subject", String(200), nullable=False, server_default=""),  # its first key field, such as the payee
    Column("amount", String(60), nullable=True),  # exact, as text
    Column("thousandths", BigInteger, nullable=True),  # the same, see `store.cases.tasks.thousandths`; null if too long
    Column("currency", String(20), nullable=True),
    Column("words", String(400), nullable=False, server_default=""),  # case id and title, as searched
    # The groups of its candidates, sorted and separated by commas, to count by group without a join. A leading "="
    # marks a group whose members at the opening count.
    Column("asked", Text, nullable=False, server_default=""),
    Column("nudged_at", Instant, nullable=True),  # when the requester last sent a reminder
    # Who may substitute for its candidates: `same-group` or `anyone`, from the policy.
    Column("substitutes", String(20), nullable=False, server_default="anyone"),
    Column("moved_at", Instant, nullable=True),  # last change of due time or priority (lists are sorted by them)
    Index("ix_tasks_inbox", "status", "due_at", "task_id"),
    Index(
        "ix_tasks_moved",
        "moved_at",
        sqlite_where=text("moved_at IS NOT NULL"),
        postgresql_where=text("moved_at IS NOT NULL"),
    ),
    Index("ix_tasks_newest", "status", "opened_at"),
    Index("ix_tasks_process", "process", "task_id"),
    Index("ix_tasks_due", "due_at", "task_id"),  # for lists of open and closed tasks
    Index(
        "ix_tasks_assignee",
        "assignee",
        sqlite_where=text("assignee IS NOT NULL"),
        postgresql_where=text("assignee IS NOT NULL"),
    ),
    Index("ix_tasks_priority", "status", "priority", "task_id"),
    Index("ix_tasks_requester", "status", "requester", "task_id"),
    Index("ix_tasks_subject", "status", "subject", "task_id"),
    Index("ix_tasks_words", "status", "words", "task_id"),  # narrow, because a search scans all of it
    # Covers the dashboard and the groups of the inbox: the rows are large, and both count a hundred thousand. SQLite
    # reads the row unless `status` is in the index, too. Groups by step and by payee are read in the order of the
    # index.
    Index(
        "ix_tasks_open",
        "status",
        "process",
        "gate",
        "currency",
        "subject",
        "due_at",
        "opened_at",
        "asked",
        "thousandths",
        "amount",
        "requester",
        "kind",
        "assignee",
        "substitutes",
        "batch_id",
        "case_id",
        "task_id",
        sqlite_where=text("status = 'open'"),
        postgresql_where=text("status = 'open'"),
    ),
    Index(
        "ix_tasks_incidents",
        "process",
        "opened_at",
        sqlite_where=text("status = 'open' AND kind = 'intervention'"),
        postgresql_where=text("status = 'open' AND kind = 'intervention'"),
    ),
    # As for ended cases: covers all dashboard queries of closed tasks.
    Index(
        "ix_tasks_closed",
        "closed_at",
        "process",
        "gate",
        "kind",
        "outcome",
        "due_at",
        "asked",
        sqlite_where=text("closed_at IS NOT NULL"),
        postgresql_where=text("closed_at IS NOT NULL"),
    ),
)

candidates = Table(
    "candidates",
    metadata,
    Column("task_id", ForeignKey("tasks.task_id"), primary_key=True),
    # group | user | excluded | asked (a question, so the person may see it). For a group whose members at the opening
    # count: snapshot with the group's name, and member for each of its members
    Column("kind", String(8), primary_key=True),
    Column("name", String(200), primary_key=True),
    Index("ix_candidates_name", "kind", "name", "task_id"),
)

recounts = Table(
    "recounts",
    metadata,
    Column("task_id", ForeignKey("tasks.task_id"), primary_key=True),
    Column("position", BigInteger, nullable=False),  # position of the audit log when the row was added
    Column("told", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Instant, nullable=False),
    Index("ix_recounts_told_next_at", "told", "next_at"),
)
"""Tasks whose Workflows must compute their candidates again because people changed. See `store.cases.recounts`."""

decisions = Table(
    "decisions",
    metadata,
    Column("decision_id", String(80), primary_key=True),
    Column("task_id", String(40), nullable=False, index=True),
    Column("case_id", String(900), nullable=False),
    Column("person", String(200), nullable=False),
    Column("verdict", String(30), nullable=False),
    Column("comment", Text, nullable=False),
    Column("content", String(64), nullable=False),  # Decision.content
    Column("status", String(10), nullable=False),  # pending | accepted | refused | withdrawn
    Column("refusal", Text, nullable=False, default=""),
    Column("code", String(40), nullable=False, default=""),
    Column("via", String(30), nullable=False),
    Column("at", Instant, nullable=False),
    Column("on_behalf_of", String(200), nullable=True),
    Column("edits", JSON, nullable=True),  # list of FieldChange
    Column("confirmed", String(10), nullable=False),  # none | password | passkey
    Column("name", String(200), nullable=False),  # of the person when the decision was confirmed; else empty
    Index("ix_decisions_at", "at", "status", "person", "verdict"),
    Index(
        "ix_decisions_pending",
        "at",
        sqlite_where=text("status = 'pending'"),
        postgresql_where=text("status = 'pending'"),
    ),
)

pending_confirmations = Table(
    "pending_confirmations",
    metadata,
    Column("nonce", String(64), primary_key=True),
    Column("person", String(200), nullable=False),
    Column("task_id", String(40), nullable=False),
    Column("decision_id", String(80), nullable=False),
    Column("at", Instant, nullable=False, index=True),  # of the decision
)
"""Decisions that people were asked to confirm with a passkey. A row is deleted when it is used, or soon after."""

proofs = Table(
    "proofs",
    metadata,
    Column("message_id", String(1100), primary_key=True),  # the id of a cancellation by a worker contains a key
    Column("case_id", String(900), nullable=True),  # null for an order to a batch
    Column("kind", String(20), nullable=False),
    Column("text", Text, nullable=False),  # what was signed: domain/proof/envelope.py
    Column("proof", String(200), nullable=False),
    Column("at", Instant, nullable=False),
    Index("ix_proofs_case_id", "case_id"),
)
"""Signatures of the messages that changed a case or a batch. A row never changes."""

# Actions on tasks, other than decisions, that no worker answered at once, and their results.
actions = Table(
    "actions",
    metadata,
    Column("action_id", String(80), primary_key=True),
    Column("task_id", String(40), nullable=False),
    Column("case_id", String(900), nullable=False),
    Column("person", String(200), nullable=False),
    Column("act", String(20), nullable=False),
    Column("content", String(64), nullable=False),  # Action.content
    Column("status", String(10), nullable=False),  # pending | done | refused
    Column("refusal", Text, nullable=False, default=""),
    Column("code", String(40), nullable=False, default=""),
    Column("at", Instant, nullable=False),
    Index("ix_actions_task", "task_id", "person"),
    Index(
        "ix_actions_pending",
        "at",
        sqlite_where=text("status = 'pending'"),
        postgresql_where=text("status = 'pending'"),
    ),
)

batches = Table(
    "batches",
    metadata,
    Column("batch_id", String(60), primary_key=True),
    Column("process", String(60), nullable=False),
    Column("filename", String(255), nullable=False),
    Column("sha256", String(64), nullable=False, index=True),
    Column("path", String(255), nullable=False),  # relative to the upload folder
    Column("same_file_as", String(60), nullable=True),
    Column("requester", String(200), nullable=False),
    Column("on_behalf_of", String(200), nullable=True),  # as in `cases`, for all cases of the file
    Column("asked_for", JSON, nullable=False, server_default="[]"),
    Column("policy_hash", String(64), nullable=False),
    # receiving | starting | running | paused | cancelling | completed | cancelled | failed
    Column("status", String(20), nullable=False),
    Column("total", Integer, nullable=False),
    Column("skipped", Integer, nullable=False),
    Column("blank", Integer, nullable=False),
    Column("ignored_columns", JSON, nullable=False),
    Column("format", JSON, nullable=False),  # how the bytes were read: kind, encoding, delimiter, sheet
    Column("mapping", JSON, nullable=True),  # which columns contain which fields; null: the fields' own names
    Column("created_at", Instant, nullable=False),
    Column("closed_at", Instant, nullable=True),
    Column("erased_at", Instant, nullable=True),  # its file, the data of its rows and its cases were erased
)

batch_requesters = Table(
    "batch_requesters",
    metadata,
    Column("batch_id", ForeignKey("batches.batch_id"), primary_key=True),
    Column("person", String(200), primary_key=True, index=True),
)
"""The people in `batches.asked_for`, one row for each, for queries."""

batch_rows = Table(
    "batch_rows",
    metadata,
    Column("batch_id", ForeignKey("batches.batch_id"), primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("reference", Text, nullable=False),
    Column("outcome", String(12), nullable=False),  # valid | invalid | started | duplicate | failed | skipped
    Column("case_id", String(900), nullable=True),
    Column("differs", JSON, nullable=False),
    Column("changes", JSON, nullable=False),
    Column("errors", JSON, nullable=False),
    Column("process", String(60), nullable=False),
    Column("priority", Integer, nullable=True),
    Column("start_at", Instant, nullable=True),
    Column("resubmits", String(900), nullable=True),
    Column("above", Integer, nullable=True),
    Column("not_again", Text, nullable=True),
    Column("input", JSON, nullable=True),  # input of the case; null once the row will not be started any more
    Index("ix_batch_rows_outcome", "batch_id", "outcome", "line"),
    Index("ix_batch_rows_case", "case_id"),
)

dropped_files = Table(
    "dropped_files",
    metadata,
    Column("process", String(255), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("batch_id", String(60), nullable=False),  # reserved; a refused file has no such batch
    Column("claim", String(60), nullable=False),
    Column("taken_at", Instant, nullable=False),
)
"""For the bytes of each imported file of the drop folder: the batch that was created from the file."""

attachments = Table(
    "attachments",
    metadata,
    Column("attachment_id", String(40), primary_key=True),
    Column("case_id", ForeignKey("cases.case_id"), nullable=False),
    Column("filename", String(255), nullable=False),
    Column("size", BigInteger, nullable=False),  # bytes
    Column("sha256", String(64), nullable=False),
    Column("content_type", String(100), nullable=False),
    Column("person", String(200), nullable=False),
    Column("note", Text, nullable=False),
    Column("at", Instant, nullable=False),
    UniqueConstraint("case_id", "sha256", "person"),
)
"""Files of cases. The bytes of each file are in `HOLDGATE_VAR/attachments`, named by their hash."""

follow_ups = Table(
    "follow_ups",
    metadata,
    Column("person", ForeignKey("people.id"), primary_key=True),
    Column("task_id", ForeignKey("tasks.task_id"), primary_key=True),
    Column("until", Instant, nullable=False),
)
"""Tasks that a person has snoozed."""

bulk_results = Table(
    "bulk_results",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("person", String(200), nullable=False),
    Column("at", Instant, nullable=False, index=True),
    Column("results", JSON, nullable=False),  # by task, without titles or names
)
"""Results of bulk decisions, kept for at least a day."""

stopped = Table(
    "stopped",
    metadata,
    Column("workflow_id", String(1000), primary_key=True),
    Column("kind", String(20), nullable=False),  # failing | unknown | behind | ended
    Column("case_id", String(900)),
    Column("task_id", String(40)),
    Column("status", String(30)),  # of the case before it stopped
    Column("cause", Text, nullable=False),
    Column("technical", Text, nullable=False),
    Column("since", Instant, nullable=False),
)
"""Workflows that cannot continue, as a worker has found out. A row is removed when its Workflow continues."""

case_keys = Table(
    "case_keys",
    metadata,
    Column("subject", String(900), primary_key=True),  # a case id, or `batch:` and the id of a batch
    Column("wrapped", Text, nullable=True),  # the data key, encrypted with the key `kek`; null: erased
    Column("kek", String(60), nullable=True),  # id of a key in the file HOLDGATE_PAYLOAD_KEYS; null: erased
    Column("strict", Boolean, nullable=False),  # the Workflow began encrypted, so that no plain payload is its own
    Column("created_at", Instant, nullable=False),
    Column("erased_at", Instant, nullable=True),
    Index("ix_case_keys_kek", "kek", "subject"),
    Index(
        "ix_case_keys_erased",
        "erased_at",
        sqlite_where=text("erased_at IS NOT NULL"),
        postgresql_where=text("erased_at IS NOT NULL"),
    ),
)
"""The data keys with which the payloads of Temporal Workflows are encrypted, each encrypted with a key outside the
database.
"""

erased_files = Table(
    "erased_files",
    metadata,
    Column("path", String(255), primary_key=True),  # below the state folder
    Column("at", Instant, nullable=False),
)
"""Files of erased cases and uploads. A row is deleted with its file, after the transaction of the erasure."""

legal_holds = Table(
    "legal_holds",
    metadata,
    Column("hold_id", String(40), primary_key=True),
    Column("kind", String(10), nullable=False),  # case | person | upload
    Column("subject", String(900), nullable=False),  # the id of the case, person or batch
    Column("reason", Text, nullable=False),
    Column("placed_by", String(200), nullable=False),
    Column("placed_at", Instant, nullable=False),
    Column("lifted_by", String(200), nullable=True),
    Column("lifted_at", Instant, nullable=True),
    Index("ix_legal_holds_subject", "kind", "subject"),
)
"""Reasons why a case, a person or an upload must not be erased. A hold counts until somebody lifts it."""
