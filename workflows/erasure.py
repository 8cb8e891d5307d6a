"""Erase a case, a person or an upload: count what will be erased, ask people, and erase."""

from datetime import timedelta

from temporalio import workflow

# The sandbox imports this file again for each Workflow, but not these modules: they are deterministic and large.
with workflow.unsafe.imports_passed_through():
    from activities.erasure.request import ErasureRequest
    from activities.erasure.steps import Erased, Erasures
    from domain.case import CaseInput, CaseResult
    from domain.step import StepOptions
    from domain.wording import Words
    from workflows.engine.case import BEAT, CaseWorkflow

LONG = StepOptions(time_limit=timedelta(minutes=30))
"""The options of the step that erases: an upload can have tens of thousands of cases."""


@workflow.defn(name="erasure")
class ErasureProcess(CaseWorkflow):
    """Erase the content of a case or an upload, or the data of a person.

    1. Check that the subject can be erased, and count what will be erased. A subject that cannot be erased, such as
       one with a legal hold, ends the request.
    2. The people whom the policy names decide.
    3. Check again, and erase. Nobody can undo this step.
    """

    @workflow.run
    async def run(self, case: CaseInput[ErasureRequest]) -> CaseResult:
        return await self.conduct(case, self.forget)

    async def forget(self, request: ErasureRequest) -> Erased | None:
        survey = await self.step(Erasures.survey_erasure, request, local=True)
        await self.gate("erasure-approval", facts=survey)
        return await self.step(Erasures.erase, request, heartbeat=BEAT, options=LONG)

    words = Words(
        summary="Erase the content of an ended request or upload, or the data of a person who has left",
        title="Erase {kind} {id}",
        key_fields=("kind", "id", "reason"),
        labels={"kind": "What", "id": "ID", "reason": "Reason", "cases": "Also the requests of the person"},
        steps={
            "survey_erasure": "Count what will be erased of {kind} {id}",
            "erase": "Erase {kind} {id}",
        },
        undos={},
        gates={"erasure-approval": "Erase {kind} {id}? Nobody can restore what is erased."},
        nouns=("erasure", "erasures"),
        done="Erased {kind} {id}",
        facts_after={"erasure-approval": "the count"},
    )
