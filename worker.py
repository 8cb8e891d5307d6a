"""The worker program, `python worker.py`: build the parts from the settings, and run until a signal stops it."""

import gc

if __name__ == "__main__":
    gc.disable()  # Until `run` has read all settings: searching what imports make and keep takes a fifth of the start.

import asyncio
import logging
import os
import signal
import socket
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

from temporalio.client import Client
from temporalio.runtime import Runtime

from activities.deployment.apps import WrongApps, read_apps
from activities.engine.signatures import Signatures
from activities.shared import isolation
from cases.erasure import owner_of
from cases.namespace_binding import NamespaceBinding
from cases.payload_encryption import PayloadEncryption
from cases.reconcile.blocked_workflows import Defects
from cases.reconcile.jobs import Job, heartbeat, jobs
from cases.reconcile.refused_messages import Refusals
from cases.reconcile.retention import Retention
from cases.reconcile.send_notifications import dispatcher
from cases.submit import Starter
from channels.registry import check
from core import event_loop, logs, traces
from core.exit import leave
from core.settings import Settings, WrongSettings, load, unknown_variables
from core.signed_client import signing
from core.signing_keys import KeyFile, own_key
from core.temporal import connect_when_reachable, foreign_payloads, runtime_of_sdk
from domain.names import BULK_TASK_QUEUE, TASK_QUEUE
from domain.proof.keys import Role
from intake.drop_folder import DropFolder
from intake.drop_folder_import import DropFolderImport
from intake.upload import Uploads
from plugins import loader
from plugins.activities import equip
from plugins.errors import WrongProcess
from plugins.workers import workers
from policy.file import PolicyFile
from policy.model import PolicyError
from store.audit.checkpoints import keys as record_keys
from store.audit.checkpoints.sign import Signer
from store.audit.key_changes import note_changed_keys
from store.audit.sequencer import Sequencer
from store.audit.verification import Folders
from store.db.database import Database, DatabaseUnavailable, check_url
from store.db.private_files import keep_private, tighten
from store.erasure.files import delete_files
from workflows.registry import PROCESSES

log = logging.getLogger("holdgate.worker")

IMPORT_EVERY = timedelta(seconds=2)
KEYS_EVERY = timedelta(seconds=1)
"""How soon a worker believes a new key, or no longer believes a revoked key."""
REWRAP_EVERY = timedelta(seconds=30)
CHECKPOINTS_EVERY = timedelta(seconds=5)
RETENTION_EVERY = timedelta(minutes=5)
ERASED_FILES_EVERY = timedelta(minutes=1)


def import_jobs(database: Database, client: Client, policy_file: PolicyFile, settings: Settings) -> list[Job]:
    """Return the job that imports files from the drop folder, if there is one. One worker at a time imports files."""
    if settings.import_dir is None:
        return []
    importer = DropFolderImport(
        database,
        Uploads(database, client, policy_file, settings.uploads, mappings=settings.mappings),
        DropFolder(settings.import_dir),
        settings.import_requester,
        most_bytes=settings.max_upload_bytes,
        url=settings.public_url,
    )
    said = "%d files of the drop folder were imported or refused"
    return [Job(importer.look, said, "the drop folder could not be read", IMPORT_EVERY)]


def key_job(keys: KeyFile) -> Job:
    """Return the job that reads the registry of public keys again when it has changed."""

    async def look() -> int:
        return int(keys.refresh())

    said = "%d registry of public keys has changed and is in use"
    return Job(look, said, "the registry of public keys could not be read", KEYS_EVERY)


def rewrap_jobs(encryption: PayloadEncryption) -> list[Job]:
    """Return the job that wraps data keys again after a rotation of the payload keys, if this worker has the keys."""
    if encryption.keys is None:
        return []
    said = "%d data keys are wrapped by the current payload key now"
    return [Job(encryption.keys.rewrap, said, "data keys could not be wrapped again", REWRAP_EVERY)]


def retention_jobs(database: Database, settings: Settings) -> list[Job]:
    """Return the jobs that delete files that an erasure left, and erase what is older than its retention period."""
    clean_up = partial(delete_files, database, Folders(settings.attachments, settings.uploads))
    said = "%d files of erased cases and uploads were deleted"
    left = Job(clean_up, said, "files of erased cases and uploads could not be deleted", ERASED_FILES_EVERY)
    if not (periods := loader.retention(settings.retention)):
        return [left]
    job = Retention(database, owner_of(database, settings.owner_url), periods, clean_up)
    said = "%d cases and uploads were erased: their retention period is over"
    return [left, Job(job.look, said, "cases and uploads could not be erased by their age", RETENTION_EVERY)]


def checkpoint_jobs(database: Database, settings: Settings) -> list[Job]:
    """Return the job that signs checkpoints of the audit log, if this worker has the key."""
    try:
        signer = Signer(
            database,
            record_keys.read(settings.record_key),
            record_keys.trusted(settings.record_public_keys),
            settings.checkpoints,
        )
    except record_keys.WrongKey as error:
        log.warning("this worker signs no checkpoints of the audit log: %s", error)
        return []
    said = "signed %d checkpoint of the audit log"
    return [Job(signer.look, said, "no checkpoint of the audit log could be signed", CHECKPOINTS_EVERY)]


async def main(settings: Settings, policy_file: PolicyFile, runtime: Runtime) -> None:
    """Run until SIGTERM or SIGINT, then finish what is running.

    Raises WrongProcess; ForeignNamespace if the namespace belongs to another installation, now or later; and
    WrongEncryption if the installation encrypts payloads, now or later, and this worker has not its keys.
    """
    own_steps = equip(settings.var)
    if said := await asyncio.to_thread(isolation.warning, accepted=settings.unisolated_code == "accept"):
        log.warning("%s", said)
    keys, key = KeyFile(settings.trusted_keys), own_key(settings, Role.WORKER)
    database = Database(settings.database_url)
    encryption = PayloadEncryption(database, settings.payload_keys, foreign_payloads(runtime))
    await encryption.check_when_reachable()
    client = signing(await connect_when_reachable(settings, encryption.keys, runtime), key)
    binding = NamespaceBinding(client, database)
    await binding.hold_when_reachable()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    starter = Starter(database, client, policy_file)
    with suppress(DatabaseUnavailable):  # the next start notes the change
        await note_changed_keys(database, keys.registry)
    refusals, defects = Refusals(database), Defects()
    signatures = Signatures(lambda: keys.registry, lambda: datetime.now(UTC))
    running = workers(client, database, starter, settings, signatures, own_steps, [refusals, defects])
    wording = {process.name: process.words for process in PROCESSES.values()}
    background = [
        asyncio.create_task(work)
        for work in (
            dispatcher(database, settings, wording).run(),
            heartbeat(database, f"{socket.gethostname()}:{os.getpid()}").run(),
            *(job.run() for job in jobs(database, client, starter, refusals, defects, demo=settings.demo)),
            *(job.run() for job in import_jobs(database, client, policy_file, settings)),
            key_job(keys).run(),
            *(job.run() for job in rewrap_jobs(encryption)),
            *(job.run() for job in retention_jobs(database, settings)),
            *(job.run() for job in checkpoint_jobs(database, settings)),
        )
    ]
    sequencing = asyncio.create_task(Sequencer(settings.database_url).run())
    runs = [asyncio.create_task(worker.run()) for worker in running]
    log.info("working on %s and %s", TASK_QUEUE, BULK_TASK_QUEUE)
    ends = [asyncio.create_task(end) for end in (stopped.wait(), binding.watch(), encryption.watch())]
    await asyncio.wait([*ends, *runs], return_when=asyncio.FIRST_COMPLETED)
    for task in (*background, *ends):
        task.cancel()
    await asyncio.gather(*(worker.shutdown() for worker in running))
    await asyncio.gather(*runs)
    await asyncio.gather(*background, return_exceptions=True)
    with suppress(DatabaseUnavailable):
        await refusals.finish()
    await database.close()
    sequencing.cancel()  # last: it also sequences what was written while the process stopped
    await asyncio.gather(sequencing, return_exceptions=True)
    if wrong := binding.foreign or encryption.wrong:
        raise wrong


def run() -> int:
    """Run the worker and return its exit code: 2 for a mistake in settings or files."""
    keep_private()
    try:
        settings = load()
        logs.configure(settings.log, texts=settings.log_texts)
        logs.take_uncaught()
        for line in unknown_variables():
            log.warning("%s", line)
        check(settings)
        check_url(settings.database_url)
        tighten(settings.var, settings.database_url, settings.shared)
        traces.configure("holdgate-worker")
        loader.load(settings.processes)
        loader.retention(settings.retention)
        policy_file = loader.policy_file(settings.policy)
        read_apps(settings.apps)
        gc.enable()
        gc.freeze()
        event_loop.run(main(settings, policy_file, runtime_of_sdk(settings.worker_metrics)))
    except (WrongSettings, WrongApps, WrongProcess, PolicyError, traces.NotInstalled) as error:
        log.error("%s", error)
        return 2
    return 0


if __name__ == "__main__":
    leave(run())
