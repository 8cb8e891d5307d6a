"""Names that all parts share: task queues, search attributes, groups, engine gates, and limits."""

from temporalio.common import SearchAttributeKey

TASK_QUEUE = "holdgate"
"""Workflows and steps."""
BULK_TASK_QUEUE = "holdgate-bulk"
"""Imports: slots of their own, so that an upload never starves single cases."""

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
"""Visible to everybody who can see the namespace and never encrypted: ids and codes only."""

OPERATORS = "operators"
AUDITORS = "auditors"
ADMINS = "admins"
REQUESTERS = "requesters"
DATA_STEWARDS = "data-stewards"
SECURITY = "security"
MAX_FACTS_BYTES = 64 * 1024
MAX_MESSAGES = 500
"""Claims, questions and the like that one case takes; decisions are few by the rules."""
MAX_IDLE_MESSAGES = 100
"""Signals that come to nothing which one case lists in the record. The rest are counted in one event, at its end."""

INTERVENTION = "intervention"
"""The gate at which operators decide about what has failed. The policy may have rules for it."""
ROLLBACK = "rollback"
"""The gate before a completed case is rolled back, if the policy has it."""
ENGINE_GATES = (INTERVENTION, ROLLBACK)
"""Gates that each process has, whatever it is."""
