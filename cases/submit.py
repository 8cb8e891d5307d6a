"""Submit cases: store the row of the case in SQL first, then start its Workflow. All submitted cases go through this
module.

A stored row is never lost. `sweep` starts the Workflow of every row whose status is still `starting`; if Temporal
answers that this Workflow has already started, the row counts as started. So the gateway can answer 201 or 202 as soon
as the row is stored.
"""

import logging
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from pydantic import BaseModel
from temporalio.client import Client

from cases.case_request import (
    DEFAULT_PRIORITY as DEFAULT_PRIORITY,
    CaseRequest as CaseRequest,
    DuplicateCase as DuplicateCase,
    InvalidCase as InvalidCase,
    NoPolicy as NoPolicy,
    NotResubmittable as NotResubmittable,
    Started as Started,
    checked,
    duplicate,
    next_round,
    repeated,
)
from cases.check_names import NamesCheck
from cases.forecast import Forecast, ForecastReport
from cases.pinned_policies import PinnedPolicies
from cases.start_permission import check_may_start, scope_now
from cases.workflow_starter import Launch, Launcher, StoredCase, TemporalUnavailable as TemporalUnavailable, settle
from domain.case import CaseEvent
from domain.ids import case_id_for, normalise_reference, reference_key
from policy.model import Policy
from store.cases import batches, cases, policies
from store.cases.case_keys import CaseKeys
from store.cases.cases import CaseRow, NewCaseRow
from store.db.client_keys import scoped_key
from store.db.database import Database, DatabaseUnavailable
from store.people import service_accounts
from workflows.registry import PROCESSES, Process, process_named

SWEEP_AFTER = timedelta(seconds=10)
"""After this time in status `starting`, a row counts as left by a process that died.

`sweep` starts the Workflow of such a row.
"""
SWEEP_LIMIT = 500
RECEIVED_WITHIN = timedelta(hours=1)
"""After this time, a batch whose rows are not all stored counts as left by a gateway that died.

`sweep` deletes such a batch. The person who uploaded its file got no answer.
"""

log = logging.getLogger(__name__)


class PolicySource(Protocol):
    """Provides the policy in force, for new cases."""

    @property
    def current(self) -> Policy: ...


# ---------------------------------------------------------------------------------------------------------- the starter


class Starter:
    """Stores new cases and starts their Workflows."""

    def __init__(
        self,
        db: Database,
        client: Client,
        policy_file: PolicySource,
        processes: Mapping[str, Process] = PROCESSES,
    ) -> None:
        self._db = db
        self._policy_file = policy_file
        self._processes = processes
        self._kept: set[str] = set()
        inputs = {name: process.input for name, process in processes.items()}
        steps = {name: process.steps for name, process in processes.items()}
        self.pinned = PinnedPolicies(db, inputs, steps)
        self.launcher = Launcher(client, processes, self.pinned)
        self.keys = CaseKeys.of(client)
        """The keys of new cases; None if payloads are not encrypted."""

    async def start_case(self, request: CaseRequest, by: str) -> Started:
        """Store the requested case and start its Workflow. `by` is the id of the requester.

        If Temporal stops answering after the case is stored, the case keeps the status `starting` until `sweep` starts
        its Workflow. Raises UnknownProcess, NoPolicy, InvalidCase, DuplicateCase (also for an idempotency key reused
        with another case), NotARequester, NotResubmittable, TemporalUnavailable and DatabaseUnavailable; after any of
        these nothing is stored.
        """
        process = self.process(request.process)
        policy = self.policy(request.process)
        scope = await scope_now(self._db, policy, by, request.on_behalf_of)
        check_may_start(policy, process.name, scope)
        reference, key, parsed = checked(request, process)
        idempotency_key = scoped_key(by, request.idempotency_key) if request.idempotency_key else None
        await self._check_names(process, parsed, policy, by, request, key)
        await self.launcher.reach()
        await self.keep(policy)
        async with self._db.write() as conn:
            repeat = await cases.by_idempotency_key(conn, idempotency_key) if idempotency_key else None
            if repeat:
                return repeated(repeat, request, key, parsed)
            latest = await cases.latest_round(conn, process.name, key)
            if latest and not request.resubmits:
                raise await duplicate(conn, latest, parsed, by, scope)
            # Another person must not learn that the case exists, and cannot continue it.
            own = latest if latest and latest.requester == by else None
            round_ = next_round(own, request.resubmits, policy.rounds(process.name))
            behalf = request.on_behalf_of or (own.on_behalf_of if own else None)
            asked_for = await service_accounts.asked_for(conn, by, behalf)
            new, event = self.prepare(
                process,
                reference,
                parsed,
                by=by,
                on_behalf_of=behalf if asked_for else None,
                asked_for=_joined(asked_for, request.asked_for, own.asked_for if own else ()),
                policy_hash=policy.hash,
                priority=request.priority or DEFAULT_PRIORITY,
                start_at=request.start_at,
                round_=round_,
                resubmits=request.resubmits,
                parent=request.parent,
                idempotency_key=idempotency_key,
            )
            try:
                row = await cases.insert(conn, new, event)
                if self.keys:
                    await self.keys.begin(conn, [row.case_id])
                if own and request.resubmits:
                    await cases.link_next_round(conn, new)
            except cases.CaseExists as there:
                if idempotency_key and there.existing.idempotency_key == idempotency_key:
                    return repeated(there.existing, request, key, parsed)
                raise await duplicate(conn, there.existing, parsed, by, scope) from there
        launch = await self.launcher.launch([row])
        try:
            async with self._db.write() as conn:
                await settle(conn, launch)
                row = await cases.get(conn, row.case_id) or row
        except DatabaseUnavailable:
            # The case is stored and confirmed; the sweep does the rest.
            log.warning("case %s is stored, but not that it was started; the sweep stores this later", row.case_id)
        return Started(row, created=True)

    async def foresee(self, request: CaseRequest, by: str) -> ForecastReport:
        """Return the tasks that one case would open, without storing the case.

        Raises UnknownProcess, NoPolicy, NotARequester, InvalidCase and DatabaseUnavailable.
        """
        process = self.process(request.process)
        policy = self.policy(request.process)
        check_may_start(policy, process.name, await scope_now(self._db, policy, by, request.on_behalf_of))
        forecast = Forecast(policy, self._processes, by)
        reference, _, parsed = checked(request, process)
        await self._check_names(process, parsed, policy, by)
        forecast.valid(process.name, reference, request.priority or DEFAULT_PRIORITY, parsed)
        return forecast.report()

    async def _check_names(
        self,
        process: Process,
        parsed: BaseModel,
        policy: Policy,
        by: str,
        request: CaseRequest | None = None,
        key: str = "",
    ) -> None:
        """Raise InvalidCase when a request names unknown people or groups.

        A request that resubmits no case, and whose reference already has a case, is not refused for its names, because
        the people whom it names may have left since.
        """
        behalf = request.on_behalf_of if request else None
        (problems,) = await NamesCheck(self._db, policy, by, behalf).problems(process.name, [parsed])
        if not problems:
            return
        if request is not None and not request.resubmits:
            async with self._db.read() as conn:
                if await cases.latest_round(conn, process.name, key):
                    return
        raise InvalidCase(problems)

    async def sweep(self) -> int:
        """Start the Workflows of cases and batches that were stored more than 10 s ago and have no Workflow.

        Also delete each batch whose file was not received completely within an hour. Return the number of Workflows
        that were started.
        """
        before = datetime.now(UTC) - SWEEP_AFTER
        count, last = 0, None
        while True:
            async with self._db.read() as conn:
                rows = await cases.unstarted(conn, before, SWEEP_LIMIT, last)
            count += await self._start_stored(rows)
            if len(rows) < SWEEP_LIMIT:
                break
            last = rows[-1]
        async with self._db.read() as conn:
            files = await batches.unstarted(conn, before)
            half_received = await batches.unfinished(conn, datetime.now(UTC) - RECEIVED_WITHIN)
        running = [file for file in files if await self.launcher.launch_batch(file)]
        if half_received:
            async with self._db.write() as conn:
                await batches.delete_unfinished(conn, half_received)
        if running:
            async with self._db.write() as conn:
                await batches.mark_running(conn, [file.batch_id for file in running])
        return count + len(running)

    async def _start_stored(self, rows: Sequence[CaseRow]) -> int:
        """Start the Workflows of stored cases and return how many were started.

        A case that Temporal refuses does not block the next cases.
        """
        # The batch closes its own rows, so that the row of the file and the case always agree.
        of_batches = {row.case_id for row in rows if row.batch_id}
        left: Sequence[StoredCase] = rows
        count = 0
        while left:
            launch = await self.launcher.launch(left)
            refused = {case_id: reason for case_id, reason in launch.refused.items() if case_id not in of_batches}
            if launch.started or refused:
                async with self._db.write() as conn:
                    await settle(conn, Launch(started=launch.started, refused=refused))
            count += len(launch.started)
            left = launch.waiting[1:]  # the first was tried; the others did not reach Temporal
            if left:
                try:
                    await self.launcher.reach(always=True)
                except TemporalUnavailable:
                    break  # Temporal does not answer at all, so all cases wait
        return count

    # ------------------------------------------------------------------------------- the pieces, which imports use too

    def process(self, name: str) -> Process:
        """Return the process with this name. Raises UnknownProcess if there is none."""
        return process_named(name, self._processes)

    def policy(self, process: str | None) -> Policy:
        """Return the policy for new cases.

        Raises UnknownProcess if there is no such process, and NoPolicy if the policy has no section for the process.
        """
        policy = self._policy_file.current
        if process is not None and not policy.has(self.process(process).name):
            raise NoPolicy(
                f"the policy has no section for '{process}', so its cases are refused. "
                "Ask an administrator to add the section"
            )
        return policy

    async def keep(self, policy: Policy) -> None:
        """Store the text of a policy in SQL if it is not stored yet.

        Call this before a case is pinned to the policy.
        """
        if policy.hash in self._kept:
            return
        async with self._db.write() as conn:
            await policies.keep(conn, policy.hash, policy.text)
        self._kept.add(policy.hash)

    def prepare(
        self,
        process: Process,
        reference: str,
        parsed: BaseModel,
        *,
        by: str,
        on_behalf_of: str | None = None,
        asked_for: Sequence[str] = (),
        policy_hash: str,
        priority: int,
        start_at: datetime | None = None,
        round_: int = 1,
        resubmits: str | None = None,
        parent: str | None = None,
        batch_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> tuple[NewCaseRow, CaseEvent]:
        """Return the row of a new case and its first audit event. This method stores nothing."""
        case_id = case_id_for(process.name, reference, round_)
        title = process.title(parsed)
        now = datetime.now(UTC)
        stored = parsed.model_dump(mode="json")
        new = NewCaseRow(
            case_id=case_id,
            process=process.name,
            reference=normalise_reference(reference),
            reference_key=reference_key(reference),
            round=round_,
            resubmits=resubmits,
            parent=parent,
            title=title,
            requester=by,
            on_behalf_of=on_behalf_of,
            asked_for=[*asked_for],
            priority=priority,
            batch_id=batch_id,
            policy_hash=policy_hash,
            input=stored,
            start_at=start_at,
            submitted_at=now,
            idempotency_key=idempotency_key,
            salt=secrets.token_hex(16),
        )
        data: dict[str, Any] = {
            "title": title,
            "reference": new.reference,
            "input": process.shown_input(stored),
            "priority": priority,
            "policy_hash": policy_hash,
        }
        optional: dict[str, Any] = {"round": round_ if round_ > 1 else None, "resubmits": resubmits, "parent": parent}
        optional |= {"batch_id": batch_id, "on_behalf_of": on_behalf_of, "asked_for": [*asked_for] or None}
        data |= {name: value for name, value in optional.items() if value is not None}
        event = CaseEvent(
            event_id=f"{case_id}/0",
            case_id=case_id,
            at=now,
            kind="case_submitted",
            actor=by,
            summary=f"Submitted{f' on behalf of {on_behalf_of}' * bool(on_behalf_of)}: {title} ({new.reference})",
            data=data,
        )
        return new, event


def _joined(*names: Iterable[str]) -> list[str]:
    """Return all names, each once, in their order."""
    return list(dict.fromkeys(name for some in names for name in some))
