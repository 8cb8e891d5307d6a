"""The public names for the author of a process; tests of a process also import `plugins.testing`.

The sandbox of Workflows loads this file again for each case, so this file only imports names, which the sandbox takes
from the worker. This file does not import the loader and the check of processes.
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.shared.heartbeat import beating
    from domain.base import Message
    from domain.case import CaseInput, CaseResult
    from domain.errors import Refused, Trouble
    from domain.moments import Day, Moment, Within
    from domain.named_fields import GroupName, PersonId, PersonOrGroup
    from domain.status import Status, Verdict
    from domain.step import StepCall, StepOptions
    from domain.wording import Words
    from workflows.engine.case import BEAT, CaseWorkflow, GateAt
    from workflows.registry import Process

__all__ = [
    "BEAT",
    "CaseInput",
    "CaseResult",
    "CaseWorkflow",
    "Day",
    "GateAt",
    "GroupName",
    "Message",
    "Moment",
    "PersonId",
    "PersonOrGroup",
    "Process",
    "Refused",
    "Status",
    "StepCall",
    "StepOptions",
    "Trouble",
    "Verdict",
    "Within",
    "Words",
    "beating",
]
