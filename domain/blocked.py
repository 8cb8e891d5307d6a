"""The kinds of blocked Workflows: for each kind the cause, what operators can do, and which verdicts they can give."""

from typing import Literal

from domain.status import Verdict

BlockKind = Literal["failing", "unknown", "behind", "ended"]
"""Why a Workflow cannot continue.

`failing`: the Workflow task fails repeatedly. The other kinds mean that Temporal and the database do not match:
Temporal does not know the Workflow, is at an earlier point, or has ended the Workflow.
"""
CAUSES: dict[BlockKind, str] = {
    "failing": "The code of this case fails, so the case is blocked.",
    "unknown": "Temporal does not know this case. The case was deleted there, an older backup was restored, "
    "or this is another Temporal server.",
    "behind": "Temporal has an earlier state of this case than the database: an older backup was restored, "
    "or a message was lost.",
    "ended": "The case has ended in Temporal but not in the database: an older backup of the database was restored.",
}
WHAT_TO_DO: dict[BlockKind, str] = {
    "failing": "Correct the code and restart the worker. The case continues within ten minutes. "
    "Or roll back the case, or mark it as done by hand.",
    "unknown": "If this is the wrong server, correct TEMPORAL_ADDRESS and restart worker and gateway. "
    "Otherwise roll back the case, or mark it as done by hand.",
    "behind": "Retry to continue from the earlier state. Later decisions are requested again, and no step runs twice. "
    "Or roll back the case, or mark it as done by hand.",
    "ended": "Roll back the case, or mark it as done by hand.",
}
VERDICTS: dict[BlockKind, list[Verdict]] = {
    "failing": [Verdict.ROLL_BACK, Verdict.DONE_BY_HAND],
    "unknown": [Verdict.ROLL_BACK, Verdict.DONE_BY_HAND],
    "behind": [Verdict.RETRY, Verdict.ROLL_BACK, Verdict.DONE_BY_HAND],
    "ended": [Verdict.ROLL_BACK, Verdict.DONE_BY_HAND],
}
