"""Read messages: a handler gets only messages that fit, and every other message is refused with a sentence.

Anybody who may write to the namespace can send anything to a Workflow: nothing, null, text, a megabyte. With the SDK
alone, a Signal without its argument or an input that does not fit makes the Workflow task fail for ever. Every Workflow
of Holdgate is a GuardedWorkflow, and its handlers are decorated with `reads_update` and `reads_signal`.
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, cast, get_type_hints

from pydantic import ValidationError
from pydantic_core import from_json
from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError, TemporalError

from domain.names import BATCH_ATTRIBUTE, PROCESS_ATTRIBUTE
from domain.refusals import Refusal, RefusalCode
from workflows.engine.refusal_failures import failure_of_refusal
from workflows.engine.signatures import check_update, unsigned
from workflows.engine.signed_signals import SignedSignals

HandlerT = TypeVar("HandlerT", bound=Callable[..., Any])

MAX_MESSAGE_BYTES = 256 * 1024
"""Maximum size of one message: more than Holdgate itself sends. The history stores a message several times."""
OURS = {PROCESS_ATTRIBUTE.name, BATCH_ATTRIBUTE.name}
"""Search attributes of the Workflows that Holdgate starts. Each Workflow has at least one of these attributes."""
SIGNED = "__holdgate_signed__"
"""The attribute of the handlers and validators that refuse a message without a valid signature."""
MAX_CLAIM = 120
"""Maximum number of stored characters of the sender that a message claims."""


class Unreadable(Refusal):
    """A message that cannot be read. `claimed` is the sender that the message names; empty if no sender can be read."""

    def __init__(self, why: str, claimed: str = "") -> None:
        super().__init__(RefusalCode.UNREADABLE, f"This message cannot be read: {why}.", why=why)
        self.claimed = claimed


class Recipient(Protocol):
    """The interface that records refused Signals."""

    def message_refused(self, message: str, refusal: Refusal, claimed: str) -> None:
        """Record that a Signal of this name was refused.

        `claimed` is the sender that it names. This method must not raise.
        """


class SignedRecipient(Recipient, Protocol):
    """The interface of a Workflow whose Signals change something, and therefore must be signed."""

    signals: SignedSignals


def reads_signed_update(validator: HandlerT) -> HandlerT:
    """Decorate the validator of an Update that changes something: first refuse a message without a valid signature."""

    @functools.wraps(validator)
    def check(self: Any, message: Any) -> Any:
        check_update(message)
        return validator(self, message)

    setattr(check, SIGNED, True)
    return reads_update(cast(HandlerT, check))


def reads_update(handler: HandlerT) -> HandlerT:
    """Decorate an Update handler or its validator, below the SDK's decorator: refuse messages that do not fit.

    An unforeseen exception refuses the Update, too. If the exception left the handler, the Workflow task would fail for
    ever.
    """
    model = _model_of(handler)
    if inspect.iscoroutinefunction(handler):

        async def take_async(self: Any, *sent: Any) -> Any:
            try:
                return await handler(self, *_read(model, sent))
            except Refusal as no:
                raise failure_of_refusal(no) from no.__cause__
            except TemporalError:
                raise
            except Exception as error:
                raise failure_of_refusal(_unforeseen(error)) from error

        return _raw(handler, take_async)

    def take(self: Any, *sent: Any) -> Any:
        try:
            return handler(self, *_read(model, sent))
        except Refusal as no:
            raise failure_of_refusal(no) from no.__cause__
        except TemporalError:
            raise
        except Exception as error:
            raise failure_of_refusal(_unforeseen(error)) from error

    return _raw(handler, take)


def reads_signal(handler: HandlerT) -> HandlerT:
    """Decorate a Signal handler, below `@workflow.signal`: record messages that do not fit instead of failing."""
    model = _model_of(handler)

    def take(self: Recipient, *sent: Any) -> None:
        refusing(self, handler.__name__, lambda: handler(self, *_read(model, sent)))

    return _raw(handler, take)


def reads_signed_signal(handler: HandlerT) -> HandlerT:
    """Decorate the handler of a Signal that changes something, below `@workflow.signal`.

    Record a message that does not fit, or that has no valid signature. Handle the others in the order of arrival.
    """
    model, name = _model_of(handler), handler.__name__
    setattr(handler, SIGNED, True)

    async def take(self: SignedRecipient, *sent: Any) -> None:
        messages: list[Any] = []
        refusing(self, name, lambda: messages.extend(_read(model, sent)))
        for message in messages:
            async with self.signals.verified(message) as fault:
                if fault is not None:
                    self.message_refused(name, unsigned(fault), sender_of(message))
                else:
                    refusing(self, name, functools.partial(handler, self, message))

    return _raw(handler, take)


def sender_of(message: Any) -> str:
    """Return the sender that a message names; empty for a message that names nobody."""
    by = getattr(message, "by", None)
    return by.id[:MAX_CLAIM] if by is not None else ""


def refusing(recipient: Recipient, name: str, handle: Callable[[], None]) -> None:
    """Handle a Signal of this name, and record a refusal or an unforeseen exception.

    An exception that left a Signal handler would fail the Workflow, or its task for ever.
    """
    try:
        handle()
    except Unreadable as no:
        # The SDK's own wording: `holdgate replay` looks for it in the log.
        workflow.logger.warning(f"Failed deserializing signal input for {name}", exc_info=no)
        recipient.message_refused(name, no, no.claimed)
    except Refusal as no:
        recipient.message_refused(name, no, "")
    except TemporalError:  # From the SDK: the history does not fit the code.
        raise
    except Exception as error:
        recipient.message_refused(name, _unforeseen(error), "")


def reads_start(run: HandlerT) -> HandlerT:
    """Wrap the `run` of a Workflow, so that it checks its input first.

    If the input does not fit the model, a Workflow that somebody started by hand fails at once, with a sentence that
    says why. The Workflow of a case, batch or rollback fails its Workflow task until the code is corrected.
    """
    model = _model_of(run)

    async def begin(self: Any, *sent: Any) -> Any:
        try:
            read = _read(model, sent, most=None)
        except Unreadable as no:
            if OURS & {pair.key.name for pair in workflow.info().typed_search_attributes}:
                # The code does not fit a case of Holdgate. The task fails until the code is corrected, and
                # `cases/reconcile/blocked_workflows.py` tells operators.
                raise RuntimeError("Failed decoding arguments") from no.__cause__ or no
            raise not_ours(f"Its input cannot be read: {no.details['why']}.") from None
        if isinstance(sent[0], RawValue):
            self.start_received(from_json(sent[0].payload.data), *read)
        return await run(self, *read)

    return _raw(run, begin)


class GuardedWorkflow:
    """Base of every Workflow: refuses messages that have no handler, and an input that does not fit."""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if "run" in vars(cls):
            cls.run = reads_start(cls.run)  # type: ignore[attr-defined]  # each Workflow has its own

    def start_received(self, start: Mapping[str, Any], read: Any) -> None:
        """Take the start input before `run` begins, as JSON and as `run` gets it.

        Does nothing if the subclass does not need it.
        """

    def message_refused(self, message: str, refusal: Refusal, claimed: str) -> None:
        """Record that a Signal of this name was refused.

        `claimed` is the sender that it names. This method must not raise.
        """
        raise NotImplementedError

    @workflow.signal(dynamic=True)
    def unknown_signal(self, name: str, _sent: Sequence[RawValue]) -> None:
        """Record Signals that have no handler.

        The SDK would keep such Signals for ever, without a message to anybody.
        """
        self.message_refused(name, Refusal(RefusalCode.UNKNOWN_MESSAGE, "There is no Signal of this name here."), "")

    @workflow.update(dynamic=True)
    def unknown_update(self, _name: str, _sent: Sequence[RawValue]) -> None:
        """Accept Updates that have no handler, so that the validator can refuse them."""

    @unknown_update.validator
    def _refuse_unknown_update(self, _name: str, _sent: Sequence[RawValue]) -> None:
        raise failure_of_refusal(Refusal(RefusalCode.UNKNOWN_MESSAGE, "There is no Update of this name here."))


def not_ours(why: str) -> ApplicationError:
    """Return the failure of a Workflow that somebody started by hand: it belongs to no case, batch or rollback."""
    said = f"Holdgate did not start this Workflow, so the Workflow does nothing. {why} Start cases in Holdgate."
    return ApplicationError(said, type="NotStartedByHoldgate", non_retryable=True)


def _unforeseen(error: Exception) -> Refusal:
    return Refusal(
        RefusalCode.UNFORESEEN,
        f"This message cannot be carried out, for an unexpected reason ({type(error).__name__}). Tell an operator.",
    )


def _read(model: Any, sent: Sequence[Any], most: int | None = MAX_MESSAGE_BYTES) -> tuple[Any, ...]:
    """Return the arguments of a handler from a message. Raises Unreadable."""
    if model is None:  # The handler takes no argument.
        return ()
    if not sent:
        raise Unreadable("it is empty")
    if len(sent) > 1:
        raise Unreadable(f"it has {len(sent)} arguments instead of one")
    (one,) = sent
    if not isinstance(one, RawValue):
        return (one,)  # Called by the engine itself.
    size = len(one.payload.data)
    if most is not None and size > most:
        raise Unreadable(f"it has {size:,} bytes; at most {most:,} bytes are accepted")
    try:
        message = workflow.payload_converter().from_payload(one.payload, model)
    except ValidationError as wrong:
        first = wrong.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        why = f"{where}: {first['msg']}" if where else first["msg"]
        raise Unreadable(why, _claimed(one.payload.data)) from _without_values(wrong)
    except Exception as error:
        raise Unreadable(f"it has another encoding than expected ({type(error).__name__})") from None
    if not isinstance(message, model):
        raise Unreadable("it contains data of another type" if message is not None else "it is empty")
    return (message,)


def _without_values(wrong: ValidationError) -> ValueError:
    """Return the error for a log, in Pydantic's form but without values, which may be personal data."""
    found = wrong.errors(include_url=False, include_input=False, include_context=False)
    lines = [f"{'.'.join(map(str, each['loc']))}\n  {each['msg']} [type={each['type']}]" for each in found]
    return ValueError("\n".join([f"{len(found)} validation errors for {wrong.title}", *lines]))


def _claimed(data: bytes) -> str:
    """Return the sender that an unreadable message names; empty if no sender can be read."""
    try:
        said = from_json(data)
        named = said["by"]["id"] if isinstance(said["by"], dict) else said["by"]
    except (ValueError, KeyError, TypeError):
        return ""
    return named[:MAX_CLAIM] if isinstance(named, str) else ""


def _model_of(handler: Callable[..., Any]) -> Any:
    """Return the type of the argument after `self`; None for a handler without an argument."""
    names = list(inspect.signature(handler).parameters)[1:]
    return get_type_hints(handler).get(names[0], object) if names else None


def _raw(handler: HandlerT, take: Callable[..., Any]) -> HandlerT:
    """Return `take` under the name of the handler, with a signature that makes the SDK pass the raw payload."""
    functools.update_wrapper(take, handler)
    signature = inspect.signature(handler)
    this = next(iter(signature.parameters.values()))
    sent = inspect.Parameter("sent", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=RawValue)
    taken = cast(Any, take)
    taken.__signature__ = signature.replace(parameters=[this, sent])
    taken.__annotations__ = {"sent": RawValue, "return": signature.return_annotation}
    return cast(HandlerT, take)
