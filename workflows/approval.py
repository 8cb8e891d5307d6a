"""Ask people anything: for whatever has no process of its own."""

from typing import Any

from temporalio import workflow

# The sandbox loads this file anew for each Workflow, but not these: they are deterministic, and large.
with workflow.unsafe.imports_passed_through():
    from activities.approval.request import ApprovalRequest
    from domain.base import Message
    from domain.case import CaseInput, CaseResult
    from domain.wording import Words
    from workflows.engine.case import CaseWorkflow


class Approved(Message):
    """What people agreed to, as they may have changed it."""

    payload: Any


@workflow.defn(name="approval")
class ApprovalProcess(CaseWorkflow):
    """Ask one question.

    1. The people whom the requester named decide, or those of the policy, until the deadline.
    2. Their answer is the result: the requester acts by it.
    """

    @workflow.run
    async def run(self, case: CaseInput[ApprovalRequest]) -> CaseResult:
        return await self.conduct(case, self.ask)

    async def ask(self, request: ApprovalRequest) -> Approved:
        request = await self.gate("approval", request)
        return Approved(payload=request.payload)

    words = Words(
        summary="Ask people to approve a request that has no request type of its own",
        title="{title}",
        key_fields=("deadline",),
        labels={
            "title": "Title",
            "body": "Details",
            "payload": "Data",
            "candidates": "Approvers",
            "deadline": "Deadline",
        },
        steps={},
        undos={},
        gates={"approval": "{title}"},
        markdown=frozenset({"body"}),
        nouns=("general request", "general requests"),
        done="Approved: {title}",
    )
