"""Names that several packages use: task queues, search attributes, groups, engine gates, and limits."""

from temporalio.common import SearchAttributeKey

TASK_QUEUE = "holdgate"
"""The task queue of Workflows and steps."""
BULK_TASK_QUEUE = "holdgate-bulk"
"""The task queue of imports, with separate slots so that an upload does not block single cases."""

PROCESS_ATTRIBUTE = SearchAttributeKey.for_keyword("HoldgateProcess")
STATUS_ATTRIBUTE = SearchAttributeKey.for_keyword("HoldgateStatus")
GATE_ATTRIBUTE = SearchAttributeKey.for_keyword("HoldgateGate")
DUE_ATTRIBUTE = SearchAttributeKey.for_datetime("HoldgateDue")
REQUESTER_ATTRIBUTE = SearchAttributeKey.for_keyword("HoldgateRequester")
BATCH_ATTRIBUTE = SearchAttributeKey.for_keyword("HoldgateBatch")
SEARCH_ATTRIBUTES = (
    PROCESS_ATTRIBUTE,
    STATUS_ATTRIBUTE,
    GATE_ATTRIBUTE,
    DUE_ATTRIBUTE,
    REQUESTER_ATTRIBUTE,
    BATCH_ATTRIBUTE,
)
"""Search attributes. Everybody with access to the namespace can read them, so they hold only ids and codes."""

OPERATORS = "operators"
AUDITORS = "auditors"
ADMINS = "admins"
REQUESTERS = "requesters"
ERASURE = "erasure"
"""The process whose cases erase cases, uploads and people."""
SEVERAL = "several"
"""Instead of the name of a process: each row of the file names its process."""
DATA_STEWARDS = "data-stewards"
SECURITY = "security"
MAX_FACTS_BYTES = 64 * 1024
MAX_MESSAGES = 500
"""Maximum number of actions, such as claims and questions, that one case accepts, except replacements of leavers.

Decisions are not counted: the rules of the gates limit their number.
"""
MAX_IDLE_MESSAGES = 100
"""Maximum number of audit events of a case about Signals that were refused or changed nothing.

One event at the end of the case gives the number of further such Signals.
"""

INTERVENTION = "intervention"
"""The gate at which operators decide about a failure. The policy may have rules for this gate."""
ROLLBACK = "rollback"
"""The gate before the rollback of a completed case, if the policy has rules for it."""
ENGINE_GATES = (INTERVENTION, ROLLBACK)
"""Gates of the engine. A policy can have rules for these gates in every process."""
