"""My process: set the amount aside, let a manager decide, book it."""

from temporalio import workflow

from plugins import CaseInput, CaseResult, CaseWorkflow, Words

# The sandbox of Workflows loads this file again for each case, but not the modules below.
with workflow.unsafe.imports_passed_through():
    from .activities import MyProcessRequest, MyProcessSteps


@workflow.defn(name="my_process")
class MyProcessProcess(CaseWorkflow):
    """Grant an amount of money for a purpose.

    1. Set the amount aside; undone by freeing it.
    2. A manager decides, if the policy asks for one.
    3. Book the amount; undone by withdrawing it.
    """

    @workflow.run
    async def run(self, case: CaseInput[MyProcessRequest]) -> CaseResult:
        return await self.conduct(case, self.grant)

    async def grant(self, request: MyProcessRequest) -> None:
        await self.step(MyProcessSteps.reserve_my_process, request, undo=MyProcessSteps.free_my_process)
        await self.gate("approval")
        await self.step(MyProcessSteps.confirm_my_process, request, undo=MyProcessSteps.withdraw_my_process)

    words = Words(
        summary="My process, from the request to the booking",
        title="My process: {purpose} for {amount}",
        key_fields=("purpose", "amount", "needed_by"),
        labels={"purpose": "Purpose", "amount": "Amount", "needed_by": "Needed by", "note": "Note"},
        steps={
            "reserve_my_process": "Set {amount} aside for {purpose}",
            "confirm_my_process": "Book {amount} for {purpose}",
        },
        undos={
            "free_my_process": "Free the {amount} set aside for {purpose}",
            "withdraw_my_process": "Withdraw the {amount} booked for {purpose}",
        },
        gates={"approval": "May {amount} be spent on {purpose}?"},
        nouns=("my process", "my processes"),
        done="Booked {amount} for {purpose}",
    )
