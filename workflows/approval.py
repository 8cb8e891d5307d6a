"""A general request: ask people for a decision that no other process covers."""

from typing import Any

from temporalio import workflow

# The sandbox imports this file again for each Workflow, but not these modules: they are deterministic and large.
with workflow.unsafe.imports_passed_through():
    from activities.approval.request import ApprovalRequest
    from domain.base import Message
    from domain.case import CaseInput, CaseResult
    from domain.wording import Words
    from workflows.engine.case import CaseWorkflow


class Approved(Message):
    """The output of an approved case: the data of the request, with the changes of the reviewers."""

    payload: Any


@workflow.defn(name="approval")
class ApprovalProcess(CaseWorkflow):
    """Ask people one question.

    1. The people whom the requester or the policy names decide, before the deadline of the request or, without one,
       within the time that the policy sets.
    2. If these people approve, the case returns the approved data. The requester then acts on the data, outside
       Holdgate.
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
