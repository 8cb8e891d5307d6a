"""The tables. Their history is in `migrations/`; a test holds the two together."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    text,
)


class Instant(TypeDecorator[datetime]):
    """A moment in UTC. SQLite forgets the zone, so it is put back when read; without a zone nothing is written."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a stored time needs a time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: Any, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


# Constraint names, so that alembic can change them on SQLite too.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# --------------------------------------------------------------------------------------------------------- the record

events = Table(
    "events",
    metadata,
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("event_id", String(1000), nullable=False, unique=True),
    Column("case_id", String(900), nullable=True),  # null: a change of people, tokens or policy
    Column("seq", Integer, nullable=False),  # place in the chain of the case
    Column("at", Instant, nullable=False),
    Column("kind", String(60), nullable=False),
    Column("actor", String(200), nullable=False),
    Column("digest", String(64), nullable=False),  # of the salted payload
    Column("prev_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    UniqueConstraint("case_id", "seq"),
)
"""Append-only. `store.audit` says what the hashes cover."""

event_payloads = Table(
    "event_payloads",
    metadata,
    Column("position", ForeignKey("events.position"), primary_key=True),
    Column("salt", String(64), nullable=True),
    Column("payload", Text, nullable=True),  # canonical JSON of {"summary", "data"}; null: erased
)
"""What an event says, beside the chain, so that a person's data can be erased and the chain still verifies."""

refusal_counts = Table(
    "refusal_counts",
    metadata,
    Column("person", String(200), primary_key=True),
    Column("about", String(100), primary_key=True),  # a task, or empty: all tasks together
    Column("case_id", String(900), nullable=True),  # of the task
    Column("listed", Integer, nullable=False),  # events that were written; of all tasks, since `since`
    Column("since", Instant, nullable=False),
    Column("uncounted", Integer, nullable=False),  # refusals that no event tells of yet
    Column("first_at", Instant, nullable=True),
    Column("last_at", Instant, nullable=True),
    Index(
        "ix_refusal_counts_waiting",
        "first_at",
        sqlite_where=text("uncounted > 0"),
        postgresql_where=text("uncounted > 0"),
    ),
)
"""How often somebody was refused, beyond what the audit log lists. `store.refusals` says when it is written there."""

chain = Table(
    "chain",
    metadata,
    Column("id", Integer, primary_key=True),  # always 1
    Column("position", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("seals", BigInteger, nullable=False, server_default="0"),  # number and hash of the newest record of `seals`
    Column("seals_hash", String(64), nullable=False, server_default=""),
)
"""The head of the global order. Its row is locked by each writer, so positions have no gaps."""

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("hash", String(64), nullable=False),  # running hash over all events up to here
)

seals = Table(
    "seals",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("case_id", String(900), nullable=True, index=True),  # null: rows of no case
    Column("digest", String(64), nullable=False),  # of salt and rows
    Column("hash", String(64), nullable=False),
    Column("salt", String(64), nullable=True),  # null: erased, with the rows
    Column("rows", Text, nullable=True),  # canonical JSON: by table and key, digest and hints of a row; null: deleted
)
"""Append-only: what each transaction left in the rows it wrote. `store.seals` says how."""

# ------------------------------------------------------------------------------------------------------- projections

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
    Column("parent", String(900), nullable=True, index=True),  # the case that asked for this one, and waits for its end
    Column("status", String(30), nullable=False),
    Column("title", Text, nullable=False),
    Column("requester", String(200), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("batch_id", String(60), nullable=True),
    Column("policy_hash", String(64), nullable=False),
    Column("input", JSON, nullable=False),
    Column("result", JSON, nullable=True),  # CaseResult, whole
    Column("start_at", Instant, nullable=True),
    Column("submitted_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("closed_at", Instant, nullable=True),
    Column("idempotency_key", String(64), nullable=True, unique=True),  # hash of person and Idempotency-Key
    Column("head_count", Integer, nullable=False, default=0),  # of the case's chain of events
    Column("head_hash", String(64), nullable=False, default=""),
    Column("workflow_id", String(1000), nullable=True),  # the Workflow that rolls it back; null: its own conducts it
    Column("plan", JSON, nullable=True),  # list of PlannedUndo, oldest first: what a rollback would undo
    Column("rollback", JSON, nullable=True),  # RollbackAsked: why `workflow_id` was started
    Column("resubmit_at", Instant, nullable=True),  # from then on the next round starts by itself
    # Its first end, as `store.ends` noted it; a rollback afterwards changes neither.
    Column("ended_at", Instant, nullable=True),
    Column("ended_as", String(30), nullable=True),
    Column("took_ms", BigInteger, nullable=True),
    Column("waited_ms", BigInteger, nullable=True),
    Column("words", String(400), nullable=False, server_default=""),  # case id, reference and title, as searched
    UniqueConstraint("process", "reference_key", "round"),
    Index("ix_cases_newest", "submitted_at", "case_id"),
    Index("ix_cases_status", "status", "submitted_at", "requester"),
    Index("ix_cases_batch", "batch_id", "status"),
    Index("ix_cases_batch_newest", "batch_id", "submitted_at", "case_id"),
    Index("ix_cases_requester", "requester", "submitted_at"),
    Index(
        "ix_cases_resubmit",
        "resubmit_at",
        sqlite_where=text("resubmit_at IS NOT NULL"),
        postgresql_where=text("resubmit_at IS NOT NULL"),
    ),
    # Holds all that the dashboard asks of ended cases: their rows are large, and it counts a hundred thousand of them.
    Index(
        "ix_cases_ended",
        "ended_at",
        "ended_as",
        "status",
        "took_ms",
        "waited_ms",
        "requester",
        sqlite_where=text("ended_at IS NOT NULL"),
        postgresql_where=text("ended_at IS NOT NULL"),
    ),
    Index(
        "ix_cases_taken_back",
        "closed_at",
        "requester",
        "case_id",
        sqlite_where=text("status = 'rolled_back'"),
        postgresql_where=text("status = 'rolled_back'"),
    ),
)

tasks = Table(
    "tasks",
    metadata,
    Column("task_id", String(40), primary_key=True),
    Column("case_id", ForeignKey("cases.case_id"), nullable=False, index=True),
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
    Column("view", JSON, nullable=False),  # the TaskView as it opened; what follows and the columns above win
    Column("state", JSON, nullable=True),  # whatever else has changed since, as fields of TaskView
    Column("assignee", String(200), nullable=True),
    # What lists are searched, grouped and summed by; `store.tasks` makes them of what the task shows now.
    Column("subject", String(200), nullable=False, server_default=""),  # its first key field, such as the payee
    Column("amount", String(60), nullable=True),  # exact, as text
    Column("currency", String(20), nullable=True),
    Column("words", String(400), nullable=False, server_default=""),  # case id and title, as searched
    # The groups of its candidates, sorted, a comma between: to count by group without looking up each task's. Before
    # one whose members at the opening count stands "=".
    Column("asked", Text, nullable=False, server_default=""),
    Column("nudged_at", Instant, nullable=True),  # when the requester last reminded those who may decide
    # Who may stand in for those who decide it: `same-group` or `anyone`, as the policy says.
    Column("substitutes", String(20), nullable=False, server_default="anyone"),
    Column("moved_at", Instant, nullable=True),  # when its due time or priority last changed, by which lists are sorted
    Index("ix_tasks_inbox", "status", "due_at", "task_id"),
    Index(
        "ix_tasks_moved",
        "moved_at",
        sqlite_where=text("moved_at IS NOT NULL"),
        postgresql_where=text("moved_at IS NOT NULL"),
    ),
    Index("ix_tasks_newest", "status", "opened_at"),
    Index("ix_tasks_due", "due_at", "task_id"),  # of lists of open and closed ones
    Index(
        "ix_tasks_assignee",
        "assignee",
        sqlite_where=text("assignee IS NOT NULL"),
        postgresql_where=text("assignee IS NOT NULL"),
    ),
    Index("ix_tasks_priority", "status", "priority", "task_id"),
    Index("ix_tasks_requester", "status", "requester", "task_id"),
    Index("ix_tasks_subject", "status", "subject", "task_id"),
    Index("ix_tasks_words", "status", "words", "task_id"),  # read from end to end by a search, for it is narrow
    Index(
        "ix_tasks_open",
        "process",
        "gate",
        "due_at",
        "opened_at",
        "asked",
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
    # As of ended cases: all that the dashboard asks of closed tasks.
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
    # group | user | excluded | asked: a question, so they may see it | of a group whose members at the opening count:
    # snapshot, by the group's name, and member for each of them
    Column("kind", String(8), primary_key=True),
    Column("name", String(200), primary_key=True),
    Index("ix_candidates_name", "kind", "name", "task_id"),
)

recounts = Table(
    "recounts",
    metadata,
    Column("task_id", ForeignKey("tasks.task_id"), primary_key=True),
    Column("position", BigInteger, nullable=False),  # how far the record went when the gate was put here
    Column("told", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Instant, nullable=False),
    Index("ix_recounts_told_next_at", "told", "next_at"),
)
"""Tasks whose Workflow has to look again who can decide them, because people changed. See `store.recounts`."""

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
    Index("ix_decisions_at", "at", "status", "person", "verdict"),
    Index(
        "ix_decisions_pending",
        "at",
        sqlite_where=text("status = 'pending'"),
        postgresql_where=text("status = 'pending'"),
    ),
)

# What people wanted to do with a task, other than decide it, when no worker answered; and what became of it.
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
    Column("policy_hash", String(64), nullable=False),
    # receiving | starting | running | paused | cancelling | completed | cancelled | failed
    Column("status", String(20), nullable=False),
    Column("total", Integer, nullable=False),
    Column("skipped", Integer, nullable=False),
    Column("blank", Integer, nullable=False),
    Column("ignored_columns", JSON, nullable=False),
    Column("format", JSON, nullable=False),  # how the bytes were read: kind, encoding, delimiter, sheet
    Column("mapping", JSON, nullable=True),  # which columns stand for which fields; null: the fields' own names
    Column("created_at", Instant, nullable=False),
    Column("closed_at", Instant, nullable=True),
)

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
    Column(
        "input", JSON, nullable=True
    ),  # what the case starts with; null as soon as the row is no longer to be started
    Index("ix_batch_rows_outcome", "batch_id", "outcome", "line"),
    Index("ix_batch_rows_case", "case_id"),
)

inbox_files = Table(
    "inbox_files",
    metadata,
    Column("process", String(255), primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("batch_id", String(60), nullable=False),  # reserved; of a file that was refused there is no such batch
    Column("claim", String(60), nullable=False),
    Column("taken_at", Instant, nullable=False),
)
"""Which batch the bytes of a file in the inbox become."""

# ------------------------------------------------------------------------------------------------------------- people

people = Table(
    "people",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("email", String(254), nullable=True),
    # The address before this one, which hears of changes for some days, too; and who set this one, when.
    Column("former_email", String(254), nullable=True),
    Column("email_set_by", String(200), nullable=True),
    Column("email_set_at", Instant, nullable=True),
    Column("manager", String(200), nullable=True),
    Column("time_zone", String(60), nullable=True),
    Column("successor", String(200), nullable=True, index=True),  # of somebody who has left: who came after them
    Column("demo", Boolean, nullable=False, server_default=false()),  # made by the demo, and refused without it
)

absences = Table(
    "absences",
    metadata,
    Column("person", ForeignKey("people.id"), primary_key=True),
    Column("starts_at", Instant, primary_key=True),
    Column("ends_at", Instant, nullable=False),
    Column("substitute", ForeignKey("people.id"), nullable=True, index=True),
    # 0: open gates do not know of it; 1: they were told; 2: so were those that opened at the same moment.
    Column("begin_told", Integer, nullable=False, server_default="0"),
    Column("end_told", Integer, nullable=False, server_default="0"),
)
"""Who is away from when to when, and who decides in their place."""

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
"""Files of cases. Their bytes lie in `HOLDGATE_VAR/attachments` under their hash."""

follow_ups = Table(
    "follow_ups",
    metadata,
    Column("person", ForeignKey("people.id"), primary_key=True),
    Column("task_id", ForeignKey("tasks.task_id"), primary_key=True),
    Column("until", Instant, nullable=False),
)
"""Tasks that a person does not want to see until then."""

memberships = Table(
    "memberships",
    metadata,
    Column("person", ForeignKey("people.id"), primary_key=True),
    Column("group_name", String(60), primary_key=True),
    Column("added_by", String(200), nullable=True),
    Column("added_at", Instant, nullable=True),
    Index("ix_memberships_group", "group_name", "person"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("hash", String(64), primary_key=True),  # SHA-256 of a 256-bit random token: no salt needed
    Column("person", ForeignKey("people.id"), nullable=False, index=True),
    Column("label", String(60), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("revoked_at", Instant, nullable=True),
)

passwords = Table(
    "passwords",
    metadata,
    Column("person", ForeignKey("people.id"), primary_key=True),
    Column("hash", Text, nullable=False),  # argon2id, with its parameters and salt
    Column("temporary", Boolean, nullable=False),  # somebody else chose it: to be changed at the next sign-in
    Column("changed_at", Instant, nullable=False),
)

sign_in_tries = Table(
    "sign_in_tries",
    metadata,
    Column("key", String(64), primary_key=True),  # SHA-256: what is typed as a name may be a password
    Column("number", Integer, nullable=False),
    Column("next_at", Instant, nullable=False),  # no try before
)
"""Tries to sign in that failed, by name and by address, until one succeeds."""

sessions = Table(
    "sessions",
    metadata,
    Column("hash", String(64), primary_key=True),  # SHA-256 of a 256-bit random token
    Column("person", ForeignKey("people.id"), nullable=False, index=True),
    Column("way", String(20), nullable=False),  # password | token | demo
    Column("agent", String(200), nullable=False),  # the browser, as it calls itself
    Column("zone", String(60), nullable=True),  # the browser's time zone
    Column("begun_at", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),
    # What it was begun with: the hash of a token, or a digest of a password's hash. The session ends with it.
    Column("credential", String(64), nullable=True, index=True),
)
"""Browsers in which somebody has signed in."""

one_time_links = Table(
    "one_time_links",
    metadata,
    Column("link_id", String(40), primary_key=True),
    Column("person", ForeignKey("people.id"), nullable=False, index=True),
    Column("way", String(8), nullable=False),  # mail | halves
    Column("status", String(10), nullable=False),  # waiting | open | used | void | withdrawn
    Column("asked_by", String(200), nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("confirmed_by", String(200), nullable=True),
    Column("confirmed_at", Instant, nullable=True),
    Column("closed_by", String(200), nullable=True),
    Column("closed_at", Instant, nullable=True),
    # SHA-256 of the secret, or of its two halves. The secret of a mail is made while it is sent, and stored nowhere.
    Column("hash", String(64), nullable=True, unique=True),
    Column("second_hash", String(64), nullable=True),
    Index("ix_one_time_links_status", "status", "asked_at"),
)
"""Links by which people set a password, or get a token, for themselves."""

account_news = Table(
    "account_news",
    metadata,
    Column("news_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("person", ForeignKey("people.id"), nullable=False),
    Column("at", Instant, nullable=False),
    Column("kind", String(30), nullable=False),  # AccountNewsKind
    Column("by", String(200), nullable=False),
    Column("about", String(200), nullable=False),  # such as the label of a token
    Column("link_id", String(40), nullable=True),  # the one-time link that its mail brings
    Column("queued", Boolean, nullable=False, server_default=false()),  # whether messages were made of it
    Column("seen_at", Instant, nullable=True),
    Index("ix_account_news_person", "person", "at"),
    Index(
        "ix_account_news_unqueued",
        "news_id",
        sqlite_where=text("queued = 0"),
        postgresql_where=text("NOT queued"),
    ),
    Index(
        "ix_account_news_unseen",
        "person",
        sqlite_where=text("seen_at IS NULL"),
        postgresql_where=text("seen_at IS NULL"),
    ),
)
"""What happened to how people sign in. They are told of it, and cannot turn that off."""

failed_sign_ins = Table(
    "failed_sign_ins",
    metadata,
    Column("key", String(210), primary_key=True),  # who it is about, or one of two sums
    Column("hour", Instant, primary_key=True),
    Column("number", Integer, nullable=False),
)
"""How often signing in failed in an hour, so that a flood of tries does not become a flood of audit events."""

preferences = Table(
    "preferences",
    metadata,
    Column("person", ForeignKey("people.id"), primary_key=True),
    Column("name", String(40), primary_key=True),
    Column("value", String(200), nullable=False),
)
"""How a person wants the pages to look and to be used."""

bulk_results = Table(
    "bulk_results",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("person", String(200), nullable=False),
    Column("at", Instant, nullable=False, index=True),
    Column("results", JSON, nullable=False),  # by task, without titles or names
)
"""What became of many tasks that were decided at once, for a day."""

heartbeats = Table(
    "heartbeats",
    metadata,
    Column("worker", String(120), primary_key=True),
    Column("at", Instant, nullable=False),
)
"""Workers say that they live; Temporal's own list of pollers lies for seconds."""

stopped = Table(
    "stopped",
    metadata,
    Column("workflow_id", String(1000), primary_key=True),
    Column("kind", String(20), nullable=False),  # failing | unknown | behind | ended
    Column("case_id", String(900)),
    Column("task_id", String(40)),
    Column("status", String(30)),  # of the case before
    Column("cause", Text, nullable=False),
    Column("technical", Text, nullable=False),
    Column("since", Instant, nullable=False),
)
"""Workflows that cannot go on, as the worker has found them. A row goes when its Workflow goes on."""

# ------------------------------------------------------------------------------------------------------------ notices

readers = Table(
    "readers",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("position", BigInteger, nullable=False),
)
"""How far in the record its readers have come."""

messages = Table(
    "messages",
    metadata,
    Column("message_id", String(40), primary_key=True),
    Column("channel", String(20), nullable=False),
    Column("person", ForeignKey("people.id"), nullable=False),
    Column("state", String(8), nullable=False),  # waiting | sent | refused
    Column("attempts", Integer, nullable=False),
    Column("next_at", Instant, nullable=False),  # of the next attempt; of the last one, once sent or refused
    Column("problem", Text, nullable=True),  # why the last attempt failed, without the address
    Column("news_id", BigInteger, nullable=True),  # of `account_news`; then it has no notices
    Column("former", Boolean, nullable=False, server_default=false()),  # goes to the person's address before this one
    Index("ix_messages_person", "person", "channel", "state", "next_at"),
    Index("ix_messages_state", "state", "channel", "next_at"),
)
"""What goes to one person at once. Its text is made when it is sent: nothing a notice says is stored here."""

notices = Table(
    "notices",
    metadata,
    Column("notice_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("position", ForeignKey("events.position"), nullable=False),
    Column("person", ForeignKey("people.id"), nullable=False),
    Column("channel", String(20), nullable=False),
    Column("kind", String(20), nullable=False),  # NoticeKind
    Column("case_id", ForeignKey("cases.case_id"), nullable=False),
    Column("task_id", ForeignKey("tasks.task_id"), nullable=True, index=True),
    Column("due_at", Instant, nullable=False),  # from then on it wants a message
    Column("held_by", String(60), nullable=True),  # the batch whose end it waits for; until then in no message
    Column("message_id", ForeignKey("messages.message_id"), nullable=True, index=True),
    UniqueConstraint("position", "person", "channel"),
    Index(
        "ix_notices_due",
        "due_at",
        "channel",
        "person",
        sqlite_where=text("message_id IS NULL"),
        postgresql_where=text("message_id IS NULL"),
    ),
    Index(
        "ix_notices_waiting",
        "person",
        "channel",
        sqlite_where=text("message_id IS NULL"),
        postgresql_where=text("message_id IS NULL"),
    ),
    Index(
        "ix_notices_held",
        "held_by",
        sqlite_where=text("held_by IS NOT NULL"),
        postgresql_where=text("held_by IS NOT NULL"),
    ),
)
"""One event, one person, one channel. Without a message it still waits to be sent."""

notice_choices = Table(
    "notice_choices",
    metadata,
    Column("person", ForeignKey("people.id"), primary_key=True),
    Column("event", String(20), primary_key=True),  # NoticeKind
    Column("choice", String(10), nullable=False),  # NoticeChoice
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("holder", String(200), nullable=False),
    Column("until", Instant, nullable=False),
)
"""Work that one process at a time does: whoever holds the row, until it is not renewed."""

# ---------------------------------------------------------------------------------------- what steps did, by their key

effects = Table(
    "effects",
    metadata,
    Column("key", String(1000), primary_key=True),
    Column("kind", String(60), nullable=False),  # the step, or the undo
    Column("case_id", String(900), nullable=False, index=True),
    Column("state", String(6), nullable=False),  # done | undone | void: undone before it was ever done
    Column("result", JSON, nullable=True),
    Column("at", Instant, nullable=False),
)
"""Each effect of a receiver that lives in this database, written in the transaction of the effect itself."""

# ----------------------------------------------------------------------------------------------------------- datasets

dataset_versions = Table(
    "dataset_versions",
    metadata,
    Column("name", String(120), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("case_id", String(900), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("profile", JSON, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("staged_at", Instant, nullable=False),
    Column("published_at", Instant, nullable=True),
)
"""Versions of datasets, staged or published. The one in force is in `datasets`."""

dataset_rows = Table(
    "dataset_rows",
    metadata,
    Column("name", String(120), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("data", JSON, nullable=False),
)

datasets = Table(
    "datasets",
    metadata,
    Column("name", String(120), primary_key=True),
    Column("version", Integer, nullable=True),  # None: none is published, yet or any more
    Column("published_at", Instant, nullable=True),
    Column("last", Integer, nullable=False, server_default="0"),  # the highest number a version ever had
)
"""Which version of each dataset is published. To publish is to change one row here."""

# ---------------------------------------------------------------------------------------------------------- directory

directory_accounts = Table(
    "directory_accounts",
    metadata,
    Column("username", String(64), primary_key=True),  # in lower case
    Column("full_name", String(200), nullable=False),
    Column("email", String(254), nullable=False),
    Column("role", String(60), nullable=False),
    Column("manager", String(100), nullable=True),
    Column("case_id", String(900), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("activated_at", Instant, nullable=True),  # for the first time; None: it never was in use
    Column("disabled_at", Instant, nullable=True),
)
"""The accounts of people in the organisation: a directory of its own, not the people of Holdgate."""

entitlements = Table(
    "entitlements",
    metadata,
    Column("grant_key", String(1000), primary_key=True),
    Column("username", ForeignKey("directory_accounts.username"), nullable=False, index=True),
    Column("entitlement", String(60), nullable=False),
    Column("granted_at", Instant, nullable=False),
    Column("revoked_at", Instant, nullable=True),
)

# -------------------------------------------------------------------------------------------------------------- risks

accepted_risks = Table(
    "accepted_risks",
    metadata,
    Column("risk_id", Integer, primary_key=True),
    Column("case_id", String(900), nullable=False, index=True),
    Column("target", String(400), nullable=False, index=True),
    Column("digest", String(64), nullable=False),  # of what was scanned
    Column("severity", String(10), nullable=False),  # of the worst finding
    Column("findings", JSON, nullable=False),
    Column("accepted_by", JSON, nullable=False),
    Column("reason", Text, nullable=False),
    Column("accepted_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("withdrawn_at", Instant, nullable=True),
)
"""Risks that people took, each until it expires or is withdrawn."""

# ------------------------------------------------------------------------------------------------------------- ledger

accounts = Table(
    "accounts",
    metadata,
    Column("name", String(120), primary_key=True),
    Column("currency", String(3), primary_key=True),
    Column("open", Boolean, nullable=False),
    Column("funded", Boolean, nullable=False),  # may be paid from
    Column("locked", Boolean, nullable=False, server_default=false()),  # for a while: payments wait
    Column("closed_until", Instant, nullable=True),  # the books are closed up to then: what is in them stays paid
    Column("posted", BigInteger, nullable=False),  # debits less credits of its lines in that layer, in minor units
    Column("pending", BigInteger, nullable=False),
    CheckConstraint("NOT funded OR posted + pending >= 0", name="no_overdraft"),
)
"""Each account in each of its currencies. The sums are kept beside the lines, so that a hold costs the same after
100,000 payments as after one; `Ledger.check` compares them with the lines."""

ledger_changes = Table(
    "ledger_changes",
    metadata,
    Column("change_id", String(40), primary_key=True),
    Column("idempotency_key", String(64), nullable=True, unique=True),
    Column("kind", String(8), nullable=False),  # open | fund
    Column("account", String(120), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("amount", BigInteger, nullable=True),  # in minor units; None: an account without money
    Column("reason", String(500), nullable=False),
    Column("status", String(12), nullable=False),  # waiting | confirmed | withdrawn
    Column("asked_by", String(200), nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("closed_by", String(200), nullable=True),
    Column("closed_at", Instant, nullable=True),
    Index("ix_ledger_changes_asked", "asked_at", "change_id"),
)
"""What is to happen to accounts, and what became of it."""

entries = Table(
    "entries",
    metadata,
    Column("entry_id", Integer, primary_key=True),
    Column("idempotency_key", String(1000), nullable=False, unique=True),
    Column("kind", String(12), nullable=False),  # fund | hold | release | capture | refund | void
    Column("case_id", String(900), nullable=True, index=True),
    Column("reference", String(120), nullable=False),
    Column("reference_key", String(240), nullable=False, server_default="", index=True),  # as references are compared
    Column("undoes", String(1000), nullable=True, unique=True),  # the key this entry reverses or voids
    Column("account", String(120), nullable=True),
    Column("currency", String(3), nullable=True),
    Column("amount", BigInteger, nullable=True),  # in minor units
    Column("payee", String(300), nullable=True),
    Column("payee_key", String(300), nullable=True),
    Column("payee_account", String(40), nullable=True),
    Column("at", Instant, nullable=False),
    Index("ix_entries_payee", "payee_key", "kind", "at"),
    CheckConstraint("amount IS NULL OR amount > 0", name="amount_positive"),
)
"""One row per effect, and per void: a key that was undone before it was ever used."""

lines = Table(
    "lines",
    metadata,
    Column("entry_id", ForeignKey("entries.entry_id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("layer", String(7), nullable=False),  # posted: money that moved | pending: money that is held
    Column("account", String(120), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("debit", BigInteger, nullable=False),
    Column("credit", BigInteger, nullable=False),
    CheckConstraint(
        "(debit > 0 AND credit = 0) OR (credit > 0 AND debit = 0)",
        name="one_side",
    ),
    Index("ix_lines_account", "account", "currency", "layer"),
)
