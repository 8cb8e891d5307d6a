"""The input of a case with the edits of a decision."""

from pydantic import BaseModel, ValidationError
from temporalio import workflow

from domain.input_errors import masked_values
from domain.masking import hidden_values, without
from domain.messages import Decision
from domain.moments import asked
from domain.refusals import Refusal, RefusalCode
from workflows.engine.state import CaseRun


def edited_input(run: CaseRun, decision: Decision) -> BaseModel | None:
    """Return the input with the edits of a decision; None without edits.

    Raises Refusal if the edited input is not valid, or if an edit is the masked form of a value.
    """
    if not decision.edits:
        return None
    before, shown = run.case.input, run.presentation.masked
    if returned := masked_values(decision.edits, shown):
        errors = [{"field": each.column, "message": each.message} for each in returned]
        raise Refusal(RefusalCode.INVALID_EDITS, "An edit has a masked value. Enter the whole value.", errors=errors)
    whole = before.model_dump(mode="json") | decision.edits
    try:
        edited: BaseModel = type(before).model_validate(whole, context=asked(workflow.now(), decision.edits))
        return edited
    except ValidationError as wrong:
        hidden = list(hidden_values(whole, shown(whole)))
        found = [
            {
                "field": ".".join(str(part) for part in error["loc"]) or None,
                "message": without(str(error["msg"]).removeprefix("Value error, "), hidden),
            }
            for error in wrong.errors()
        ]
        raise Refusal(
            RefusalCode.INVALID_EDITS, "The edited input is not valid. Correct the edited fields.", errors=found
        ) from None
