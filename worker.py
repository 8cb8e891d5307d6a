"""The worker: where settings, client and adapters are put together. `python worker.py`."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from temporalio.client import Client
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.worker import Interceptor, Worker

from activities.data_import.steps import DataImports
from activities.deployment.apps import WrongApps, read_apps
from activities.deployment.releases import Releases
from activities.deployment.steps import Deployments
from activities.engine.attempt_counter import CountAttempts
from activities.engine.batch_rows import Imports
from activities.engine.child_cases import ChildCases
from activities.engine.records import NoCase, Records
from activities.payment.steps import Payments
from activities.security_review.steps import SecurityReviews
from activities.shared import isolation
from activities.user_onboarding.steps import Onboarding
from cases.child_cases import SqlChildren
from cases.pinned_policies import PinnedPolicies
from cases.reconcile.blocked_workflows import Defects, StoppedWorkflows
from cases.reconcile.changed_people import Recounter
from cases.reconcile.closed_in_temporal import Watcher
from cases.reconcile.lost_batches import LostImports
from cases.reconcile.next_rounds import Resubmitter
from cases.reconcile.refused_messages import Refusals
from cases.rollback import Rollbacks
from cases.submit import Starter
from channels.channel import Channel
from channels.console import Console
from channels.dispatcher import Dispatcher
from channels.mailer import Mailer
from channels.message_text import Writer
from channels.smtp import Smtp
from core import logs, traces
from core.exit import leave
from core.settings import Settings, WrongSettings, load
from core.temporal import TemporalUnreachable, connect
from domain.names import BULK_TASK_QUEUE, TASK_QUEUE
from domain.records import CaseRecord, Written
from intake.drop_folder import DropBox
from intake.drop_folder_import import Inbox
from intake.start_rows import Importer, Pace
from intake.upload import Uploads
from plugins import loader
from plugins.activities import activities_of as activities_of, equip
from plugins.errors import WrongProcess
from policy.file import PolicyFile
from policy.model import PolicyError
from store.audit import audit_log
from store.audit.refusal_counts import CountedRefusals
from store.cases import cases
from store.cases.left_pending import LeftPending
from store.db import heartbeats
from store.db.database import Database, DatabaseUnavailable
from store.db.private_files import keep_private, tighten
from store.notifications.expand import Plan
from store.notifications.outbox import Outbox
from store.people import demo_people, people
from store.receivers.accepted_risks import Risks
from store.receivers.accounts import AccountDirectory
from store.receivers.datasets import Datasets
from store.receivers.ledger import Ledger
from workflows.batch import BatchWorkflow
from workflows.registry import INPUTS, PROCESSES
from workflows.rollback import RollbackWorkflow

log = logging.getLogger("holdgate.worker")
case_log = logging.getLogger("holdgate.cases")

STICKY_TIMEOUT = timedelta(seconds=1)
"""How long a case waits for the worker that knew it: with the default, a decision after a crash takes 10 s."""
WRITERS = 16
"""Steps, and records, that may be under way at once. All of them want the database: with more, an import of thousands
makes each wait so long for its turn that it fails and tries again, and nothing gets done."""
REMEMBERED = 400
"""Cases that are kept in memory while they wait: about 60 MB. Any other is read from its history again, in a few
hundredths of a second, when something happens to it."""
HEARTBEAT_EVERY = timedelta(seconds=2)
SWEEP_EVERY = timedelta(seconds=5)
INBOX_EVERY = timedelta(seconds=2)
REFUSALS_EVERY = timedelta(seconds=1)
REFUSED = ("%d refused messages were recorded", "refused messages could not be recorded")


class SqlRecords:
    """Records in SQL, each in one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, record: CaseRecord) -> Written:
        try:
            async with self._database.write() as connection:
                written = await cases.record(connection, record)
        except audit_log.UnknownCase as unknown:
            said = f"There is no case {record.case_id} in the database. Start cases in Holdgate, not in Temporal."
            raise NoCase(said, permanent=True) from unknown
        # Kinds only: what events say of people and money is for the record, not for a log.
        kinds = " ".join(event.kind for event in record.events)
        case_log.info("recorded %s", kinds, extra={"case_id": record.case_id, "status": record.status.value})
        return written


def workflows() -> Mapping[str, type]:
    """Every Workflow class by its name."""
    processes = {process.name: process.workflow for process in PROCESSES.values()}
    return {**processes, "rollback": RollbackWorkflow, "batch": BatchWorkflow}


def steps(
    database: Database, client: Client, starter: Starter, policies: PinnedPolicies, settings: Settings
) -> list[object]:
    """What carries out the steps of the shipped processes, each with its receiver. Raises WrongApps."""
    return [
        ChildCases(SqlChildren(database, client, starter)),
        DataImports(Datasets(database), settings.files),
        Deployments(
            Releases(settings.var / "apps"),
            read_apps(settings.apps),
            settings.files,
            settings.var / "checks",
            unisolated=settings.unisolated_code == "accept",
        ),
        Onboarding(AccountDirectory(database), mailer(settings), policies.lists("user_onboarding")),
        Payments(Ledger(database), policies.lists("payment")),
        SecurityReviews(Risks(database), settings.files, settings.var / "scans"),
    ]


def workers(
    client: Client,
    database: Database,
    starter: Starter,
    settings: Settings,
    own_steps: Sequence[object] = (),
    interceptors: Sequence[Interceptor] = (),
) -> list[Worker]:
    """The worker for cases and the one for imports, which has slots of its own.

    `own_steps` carry out the steps of the processes that are not shipped.
    """
    policies = PinnedPolicies(database, INPUTS)
    records = Records(SqlRecords(database), policies, people.Directory(database), INPUTS)
    pace = Pace(in_flight=settings.batch_in_flight, per_second=settings.batch_rate)
    imports = Imports(Importer(database, client, starter, pace))
    return [
        Worker(
            client,
            task_queue=TASK_QUEUE,
            workflows=list(workflows().values()),
            activities=activities_of(records, *steps(database, client, starter, policies, settings), *own_steps),
            interceptors=[CountAttempts(), *interceptors],
            max_concurrent_activities=WRITERS,
            max_concurrent_local_activities=WRITERS,
            max_cached_workflows=REMEMBERED,
            sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        ),
        Worker(
            client,
            task_queue=BULK_TASK_QUEUE,
            activities=activities_of(imports),
            # By default the SDK sends only one beat in 80 % of the timeout: too late to tell a dead import soon.
            max_heartbeat_throttle_interval=HEARTBEAT_EVERY,
        ),
    ]


def channels_of(settings: Settings) -> dict[str, Channel]:
    """The channels that are switched on, by name."""
    channels: dict[str, Channel] = {}
    for name in settings.channels.split(","):
        if name == "smtp":
            assert settings.smtp_url and settings.mail_from, "the settings see to it"
            channels[name] = Smtp(settings.smtp_url.get_secret_value(), settings.mail_from)
        else:
            channels[name] = Console()
    return channels


def mailer(settings: Settings) -> Mailer:
    """What writes to people outside: by mail if that is switched on, else into the log, to be looked at."""
    return Mailer(channels_of(settings).get("smtp") or Console())


def dispatcher(database: Database, settings: Settings) -> Dispatcher:
    """What tells people, through the channels that are switched on."""
    channels = list(channels_of(settings).values())
    plan = Plan(
        channels={channel.name: channel.needs_address for channel in channels},
        window=timedelta(seconds=settings.notice_window_s),
        digest_at=settings.digest_at,
    )
    money = {process.name: process.words.money for process in PROCESSES.values() if process.words.money}
    nouns = {process.name: process.words.nouns for process in PROCESSES.values()}
    outbox = Outbox(database, plan, money, holder=f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex}")
    return Dispatcher(outbox, channels, Writer(settings.public_url, nouns), unavailable=DatabaseUnavailable)


async def beat(database: Database, name: str) -> None:
    """Say every two seconds that this worker lives."""
    while True:
        try:
            async with database.write() as connection:
                await heartbeats.beat(connection, name, datetime.now(UTC))
        except DatabaseUnavailable as error:
            log.warning("no heartbeat: %s", error)
        await asyncio.sleep(HEARTBEAT_EVERY.total_seconds())


async def again_and_again(
    look: Callable[[], Awaitable[int]], said: str, trouble: str, every: timedelta = SWEEP_EVERY
) -> None:
    """Look now and then for what a process left undone when it died, or for what others changed."""
    while True:
        try:
            if count := await look():
                log.info(said, count)
        except Exception:  # whatever it was, the next round tries again
            log.exception(trouble)
        await asyncio.sleep(every.total_seconds())


def errands(
    database: Database, client: Client, starter: Starter, defects: Defects
) -> list[tuple[Callable[[], Awaitable[int]], str, str]]:
    """What to look for, what to say of how many were found, and what to say when it could not be looked for."""
    watcher = Watcher(database, client, Rollbacks(database, client, starter))
    return [
        (
            starter.sweep,
            "started %d cases and batches that were stored and not started",
            "the sweep failed",
        ),
        (
            Recounter(database, client).look,
            "%d open gates look again who can decide them",
            "open gates could not be told of changes of people",
        ),
        (
            watcher.look,
            "%d cases were ended or reset in Temporal",
            "could not look for cases that were ended in Temporal",
        ),
        (
            LostImports(database, client).look,
            "%d imports were lost in Temporal",
            "could not look for imports that were lost in Temporal",
        ),
        (
            StoppedWorkflows(database, client, defects.suspects).look,
            "%d cases stand still, or go on again",
            "could not look for cases that stand still",
        ),
        (
            LeftPending(database).look,
            "%d decisions and actions were refused, for their task has closed",
            "could not look for decisions and actions that nobody answers",
        ),
        (
            CountedRefusals(database).look,
            "%d counts of refusals were written into the audit log",
            "refusals that were counted could not be written into the audit log",
        ),
        (
            Resubmitter(database, starter).look,
            "%d failed cases were submitted again",
            "failed cases could not be submitted again",
        ),
    ]


async def watch_inbox(database: Database, client: Client, policy_file: PolicyFile, settings: Settings) -> None:
    """Import what is dropped into the inbox, if there is one. One worker at a time does so."""
    if settings.inbox_dir is None:
        return
    inbox = Inbox(
        database,
        Uploads(database, client, policy_file, settings.uploads, mappings=settings.mappings),
        DropBox(settings.inbox_dir),
        settings.inbox_requester,
        most_bytes=settings.max_upload_bytes,
        url=settings.public_url,
    )
    said = "%d files of the inbox were put away"
    await again_and_again(inbox.look, said, "could not look into the inbox", INBOX_EVERY)


async def without_demo(database: Database) -> None:
    """Let the people of a demo leave that ran before, or runs where it should not: nobody waits for them."""
    said = "%d demo people were let go: the demo is off"
    await again_and_again(lambda: demo_people.dismiss_all(database, by="holdgate"), said, "demo people are still there")


def metrics_of_sdk(address: str | None) -> Runtime | None:
    """What serves the Temporal SDK's own metrics, if somebody wants them. Raises WrongSettings."""
    if address is None:
        return None
    try:
        return Runtime(telemetry=TelemetryConfig(metrics=PrometheusConfig(bind_address=address)))
    except (RuntimeError, ValueError) as error:
        raise WrongSettings(f"HOLDGATE_WORKER_METRICS={address}: nothing can be served there ({error})") from error


async def patiently(settings: Settings, runtime: Runtime | None) -> Client:
    """The Temporal client, as soon as the server answers: a worker that gave up would be one more thing to restart."""
    while True:
        try:
            return await connect(settings, runtime=runtime)
        except TemporalUnreachable as error:
            log.warning("%s; trying again", error)
            await asyncio.sleep(1)


async def main(settings: Settings, policy_file: PolicyFile, runtime: Runtime | None = None) -> None:
    """Run until SIGTERM or SIGINT, then finish what is running. Raises WrongProcess."""
    own_steps = equip(settings.var)
    if said := await asyncio.to_thread(isolation.warning, accepted=settings.unisolated_code == "accept"):
        log.warning("%s", said)
    client = await patiently(settings, runtime)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    database = Database(settings.database_url)
    starter = Starter(database, client, policy_file)
    refusals, defects = Refusals(database), Defects()
    running = workers(client, database, starter, settings, own_steps, [refusals, defects])
    background = [
        asyncio.create_task(beat(database, f"{socket.gethostname()}:{os.getpid()}")),
        asyncio.create_task(dispatcher(database, settings).run()),
        asyncio.create_task(watch_inbox(database, client, policy_file, settings)),
        *([] if settings.demo else [asyncio.create_task(without_demo(database))]),
        asyncio.create_task(again_and_again(refusals.look, *REFUSED, REFUSALS_EVERY)),
        *(asyncio.create_task(again_and_again(*errand)) for errand in errands(database, client, starter, defects)),
    ]
    runs = [asyncio.create_task(worker.run()) for worker in running]
    log.info("working on %s and %s", TASK_QUEUE, BULK_TASK_QUEUE)
    first = asyncio.create_task(stopped.wait())
    await asyncio.wait([first, *runs], return_when=asyncio.FIRST_COMPLETED)
    for task in background:
        task.cancel()
    await asyncio.gather(*(worker.shutdown() for worker in running))
    await asyncio.gather(*runs)
    await asyncio.gather(*background, return_exceptions=True)
    with suppress(DatabaseUnavailable):
        await refusals.finish()
    await database.close()


def run() -> int:
    """The exit code: 2 for what the person who starts it must change."""
    keep_private()
    try:
        settings = load()
        logs.configure(settings.log)
        tighten(settings.var, settings.database_url, settings.shared)
        traces.configure("holdgate-worker")
        loader.load(settings.processes)
        policy_file = loader.policy_file(settings.policy)
        read_apps(settings.apps)
        runtime = metrics_of_sdk(settings.worker_metrics)
        asyncio.run(main(settings, policy_file, runtime))
    except (WrongSettings, WrongApps, WrongProcess, PolicyError, traces.NotInstalled) as error:
        log.error("%s", error)
        return 2
    return 0


if __name__ == "__main__":
    leave(run())
