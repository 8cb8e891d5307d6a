"""Messages as they come: whatever is sent to a Workflow of ours is read here, or refused in words.

Anybody who may write to the namespace can send anything: nothing, null, text, a megabyte. With the SDK alone a Signal
without its argument, or an input that does not fit, fails the Workflow task for ever. Here a handler gets its message
only if that can be read; what cannot be read, and what a handler stumbles over, is told to the Workflow instead.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, cast, get_type_hints

from pydantic import ValidationError
from pydantic_core import from_json
from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, TemporalError

from domain.names import BATCH_ATTRIBUTE, PROCESS_ATTRIBUTE

HandlerT = TypeVar("HandlerT", bound=Callable[..., Any])

MAX_MESSAGE_BYTES = 256 * 1024
"""Of one message: more than any that our own programs send. What is accepted is kept in the history several times."""
OURS = {PROCESS_ATTRIBUTE.name, BATCH_ATTRIBUTE.name}
"""Search attributes that all Workflows have which Holdgate starts."""
MAX_CLAIM = 120
"""Characters that are kept of what a message claims about its sender."""


class Unreadable(ApplicationError):
    """A message that does not fit; `claimed` is the person whom it names, if it can be told."""

    def __init__(self, why: str, claimed: str = "") -> None:
        super().__init__(f"This message cannot be read: {why}.", {"why": why}, type="Unreadable", non_retryable=True)
        self.claimed = claimed


class Recipient(Protocol):
    """A Workflow that is told of messages which came to nothing."""

    def message_refused(self, message: str, refusal: ApplicationError, claimed: str) -> None:
        """A message of this name was refused. Must not raise."""


def reads_update(handler: HandlerT) -> HandlerT:
    """Let an Update handler, or its validator, take whatever is sent; what does not fit is refused.

    Below `@workflow.update` or `@... .validator`. An exception that nobody foresaw refuses the Update, too: one that
    leaves the handler would fail the Workflow task, again and again.
    """
    model = _model_of(handler)
    if inspect.iscoroutinefunction(handler):

        async def later(self: Any, *sent: Any) -> Any:
            try:
                return await handler(self, *_read(model, sent))
            except TemporalError:
                raise
            except Exception as error:
                raise _stumbled(error) from error

        return _raw(handler, later)

    def at_once(self: Any, *sent: Any) -> Any:
        try:
            return handler(self, *_read(model, sent))
        except TemporalError:
            raise
        except Exception as error:
            raise _stumbled(error) from error

    return _raw(handler, at_once)


def reads_signal(handler: HandlerT) -> HandlerT:
    """Let a Signal handler take whatever is sent; the Workflow is told of what does not fit. Below `@workflow.signal`.

    Nothing leaves the handler: a Signal handler that raises fails the Workflow, or its task for ever.
    """
    model = _model_of(handler)

    def take(self: Recipient, *sent: Any) -> None:
        try:
            handler(self, *_read(model, sent))
        except Unreadable as no:
            # In the SDK's words, which `holdgate replay` listens to.
            workflow.logger.warning(f"Failed deserializing signal input for {handler.__name__}", exc_info=no)
            self.message_refused(handler.__name__, no, no.claimed)
        except ApplicationError as no:
            self.message_refused(handler.__name__, no, "")
        except TemporalError:  # the SDK's own: of a history that does not fit the code
            raise
        except Exception as error:
            self.message_refused(handler.__name__, _stumbled(error), "")

    return _raw(handler, take)


def reads_start(run: HandlerT) -> HandlerT:
    """Let the `run` of a Workflow take whatever it is started with; what does not fit fails it with a clear message.

    It was started by hand then: our own programs send what fits.
    """
    model = _model_of(run)

    async def begin(self: Any, *sent: Any) -> Any:
        try:
            read = _read(model, sent, most=None)
        except Unreadable as no:
            if OURS & {pair.key.name for pair in workflow.info().typed_search_attributes}:
                # Newer code that does not fit: corrected code goes on, and `blocked_workflows.py` tells operators.
                raise RuntimeError("Failed decoding arguments") from no.__cause__ or no
            raise not_ours(f"Its input cannot be read: {no.details[0]['why']}.") from None
        return await run(self, *read)

    return _raw(run, begin)


def not_ours(why: str) -> ApplicationError:
    """The failure of a Workflow that has no case, import or rollback: somebody started it by hand."""
    said = f"This was not started by Holdgate, so nothing is done here. {why} Start cases in Holdgate."
    return ApplicationError(said, type="NotStartedByHoldgate", non_retryable=True)


def _stumbled(error: Exception) -> ApplicationError:
    why = f"it could not be carried out ({type(error).__name__})"
    return ApplicationError(f"This message came to nothing: {why}.", {"why": why}, type="Unforeseen")


def _read(model: Any, sent: Sequence[Any], most: int | None = MAX_MESSAGE_BYTES) -> tuple[Any, ...]:
    """The arguments of a handler. Raises Unreadable."""
    if model is None:  # it takes nothing, and does not look at what comes
        return ()
    if not sent:
        raise Unreadable("it is empty")
    if len(sent) > 1:
        raise Unreadable(f"it has {len(sent)} parts, and one is expected")
    (one,) = sent
    if not isinstance(one, RawValue):
        return (one,)  # from our own code
    size = len(one.payload.data)
    if most is not None and size > most:
        raise Unreadable(f"it has {size:,} bytes, and at most {most:,} are taken")
    try:
        message = workflow.payload_converter().from_payload(one.payload, model)
    except ValidationError as wrong:
        first = wrong.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        why = f"{where}: {first['msg']}" if where else first["msg"]
        raise Unreadable(why, _claimed(one.payload.data)) from _without_values(wrong)
    except Exception as error:
        raise Unreadable(f"it is written in another way ({type(error).__name__})") from None
    if not isinstance(message, model):
        raise Unreadable("it holds something else" if message is not None else "it is empty")
    return (message,)


def _without_values(wrong: ValidationError) -> ValueError:
    """The same for a log, in Pydantic's form: what does not fit may be about people."""
    found = wrong.errors(include_url=False, include_input=False, include_context=False)
    lines = [f"{'.'.join(map(str, each['loc']))}\n  {each['msg']} [type={each['type']}]" for each in found]
    return ValueError("\n".join([f"{len(found)} validation errors for {wrong.title}", *lines]))


def _claimed(data: bytes) -> str:
    """Whom an unreadable message names as its sender."""
    try:
        said = from_json(data)
        named = said["by"]["id"] if isinstance(said["by"], dict) else said["by"]
    except (ValueError, KeyError, TypeError):
        return ""
    return named[:MAX_CLAIM] if isinstance(named, str) else ""


def _model_of(handler: Callable[..., Any]) -> Any:
    """The type of the one argument behind `self`; None where there is none."""
    names = list(inspect.signature(handler).parameters)[1:]
    return get_type_hints(handler).get(names[0], object) if names else None


def _raw(handler: HandlerT, take: Callable[..., Any]) -> HandlerT:
    """`take` under the name of the handler, with a signature by which the SDK hands over what came, undecoded."""
    functools.update_wrapper(take, handler)
    signature = inspect.signature(handler)
    this = next(iter(signature.parameters.values()))
    sent = inspect.Parameter("sent", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=RawValue)
    taken = cast(Any, take)
    taken.__signature__ = signature.replace(parameters=[this, sent])
    taken.__annotations__ = {"sent": RawValue, "return": signature.return_annotation}
    return cast(HandlerT, take)
