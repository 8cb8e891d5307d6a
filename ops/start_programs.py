"""One run of all programs: start them in order, and publish them in `up.json`."""

import asyncio

from temporalio.client import Client
from temporalio.service import RPCError

from activities.shared import isolation
from api.pages.parts.translation import catalogue
from channels import registry
from core import loopback, temporal
from core.atomic_write import write_private
from core.errors import Mistake
from core.payload_keys import read_payload_keys
from core.settings import Settings
from core.signing_keys import make_missing_keys
from ops import bootstrap, programs
from ops.checks import check_ports
from ops.demo import welcome
from ops.hidden_addresses import LOOPBACK, HiddenAddresses
from ops.supervisor import KeepsDying, Pace, Supervisor
from ops.ui_guard import UiGuard
from ops.up_json import DemoPerson, UpFile

ANSWERS_WITHIN = 60.0
"""The maximum seconds from the start of a program until it answers."""


class Run:
    """One run of all programs. This class starts the programs; the supervisor keeps them running and stops them."""

    def __init__(self, settings: Settings, pace: Pace | None = None) -> None:
        self._settings = settings
        self._up: UpFile | None = None
        self._ui: UiGuard | None = None
        self.supervisor = Supervisor(settings.var, on_healthy=lambda _name: self._tell(), pace=pace)

    async def start(self) -> None:
        """Start all programs, and return when all of them answer. Raises Mistake, WrongSettings, KeepsDying."""
        settings, supervisor = self._settings, self.supervisor
        registry.check(settings)
        if settings.payload_keys is not None:
            read_payload_keys(settings.payload_keys)
        catalogue(settings.locale)
        isolates = asyncio.create_task(
            asyncio.to_thread(isolation.warning, accepted=settings.unisolated_code == "accept")
        )
        try:
            own = not temporal.external()
            check_ports(_ports(settings, own=own))
            if own:
                print("starting Temporal ...", flush=True)
                hidden = HiddenAddresses()
                self._ui = UiGuard(settings.ui_port, hidden, programs.codec(settings))
                await self._ui.start()
                supervisor.start(programs.temporal(settings, hidden))
            _check_processes(settings)
            _check_policy(settings)
            _make_keys(settings)
            await asyncio.to_thread(_migrate, settings)
            await asyncio.to_thread(_make_record_key, settings)
            if own:
                await supervisor.until_healthy("temporal", within=ANSWERS_WITHIN)
            client = await temporal.connect(settings)
            await _bootstrap(client, own=own)
            await _bind(client, settings, own=own)
        except temporal.TemporalUnreachable as error:
            raise Mistake(str(error)) from error
        print("starting worker and gateway ...", flush=True)
        supervisor.start(programs.worker(client))
        supervisor.start(programs.gateway(settings))
        people = await _create_demo(settings)
        await supervisor.until_healthy("worker", "gateway", within=ANSWERS_WITHIN)
        await supervisor.unless_dying(self._until_ready())
        self._up = UpFile(
            gateway_url=programs.gateway_url(settings),
            temporal_ui_url=settings.temporal_ui_url,
            temporal_address=temporal.address(settings),
            namespace=client.namespace,
            database_url=settings.database_url,
            pids={},
            people=people,
            demo_sign_in_url=_link(settings) if settings.demo else None,
        )
        self._tell()
        if said := await isolates:
            print(f"warning: {said}", flush=True)
        print(welcome.text(settings, self._up, own=own), flush=True)

    async def stop(self) -> None:
        """Stop all programs, the last started first."""
        await self.supervisor.stop()
        if self._ui:
            await self._ui.stop()

    async def _until_ready(self) -> None:
        """Wait until the gateway reports that it reaches Temporal, the database and a worker."""
        body = ""
        try:
            async with asyncio.timeout(ANSWERS_WITHIN):
                while True:
                    status, body = await programs.get(self._settings, "/health/ready")
                    if status == 200:
                        return
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise KeepsDying("gateway", f"is not ready after {ANSWERS_WITHIN:g} s", body.splitlines()) from None

    def _tell(self) -> None:
        """Write `up.json` when all programs answer, and again after each restart."""
        pids = self.supervisor.pids
        if self._up and pids.keys() == self.supervisor.names:
            self._up.pids = {"temporal": None, **pids}
            write_private(self._settings.up_file, self._up.model_dump_json(indent=2) + "\n")


def _ports(settings: Settings, *, own: bool) -> list[tuple[str, str, int]]:
    ports = [("HOLDGATE_PORT", address, settings.port) for address in loopback.addresses(settings.host)]
    if own:
        ports.append(("HOLDGATE_TEMPORAL_PORT", LOOPBACK, settings.temporal_port))
        ports.append(("HOLDGATE_UI_PORT", LOOPBACK, settings.ui_port))
    return ports


def _check_processes(settings: Settings) -> None:
    """Load the plugins of HOLDGATE_PROCESSES, and check that a worker can run them.

    Raises Mistake if one of the plugins is wrong.
    """
    from plugins import loader
    from plugins.activities import equip
    from plugins.errors import WrongProcess

    try:
        loader.load(settings.processes)
        equip(settings.var)
    except WrongProcess as error:
        raise Mistake(str(error)) from error


def _check_policy(settings: Settings) -> None:
    """Check the policy and print its warnings. Raises Mistake with a line for each problem."""
    from plugins import loader
    from policy.model import PolicyError
    from policy.parse import warnings
    from workflows.registry import INPUTS

    try:
        policy = loader.policy_file(settings.policy).current
    except PolicyError as error:
        raise Mistake(str(error)) from error
    for line in warnings(policy, INPUTS):
        print(f"warning: {line}", flush=True)


def _make_keys(settings: Settings) -> None:
    """Create the signing keys at the first start. Raises Mistake if they cannot be written."""
    try:
        if made := make_missing_keys(settings):
            print(f"created the signing keys {', '.join(made)} in {settings.trusted_keys.parent}", flush=True)
    except (OSError, ValueError) as error:
        raise Mistake(f"the signing keys cannot be created in {settings.trusted_keys.parent}: {error}") from error


def _migrate(settings: Settings) -> None:
    from store.db.database import DatabaseUnavailable, migrate

    try:
        migrate(settings.database_url, settings.owner_url)
    except (DatabaseUnavailable, ValueError) as error:
        raise Mistake(f"the database cannot be used (HOLDGATE_DATABASE_URL): {error}") from error


def _make_record_key(settings: Settings) -> None:
    """Make the key that signs checkpoints of the audit log, if the key is missing. Raises Mistake."""
    from store.audit.checkpoints import keys

    try:
        default = keys.default_origin(settings.public_url)
        keys.make(settings.record_key, settings.record_public_keys, settings.record_origin, default)
    except keys.WrongKey as error:
        raise Mistake(f"no checkpoint can be signed (HOLDGATE_RECORD_KEY): {error}") from error


async def _bootstrap(client: Client, *, own: bool) -> None:
    try:
        await (bootstrap.prepare(client) if own else bootstrap.verify(client))
    except bootstrap.NotPrepared as error:
        raise Mistake("\n".join([f"Temporal is not prepared: {error}. Run:", *error.commands])) from error
    except RPCError as error:
        raise Mistake(
            f"A question to Temporal about namespace {client.namespace} failed: {error.message}. Check "
            "TEMPORAL_NAMESPACE, and that your key or certificate gives access to this namespace"
        ) from error


async def _bind(client: Client, settings: Settings, *, own: bool) -> None:
    """Check that the namespace belongs to this installation, and mark it at the first start.

    Raises ForeignNamespace; Mistake for the server of `make up`, because `namespace bind` could not reach that server.
    """
    from cases.namespace_binding import ForeignNamespace, NamespaceBinding
    from store.db.database import Database, DatabaseUnavailable

    database = Database(settings.database_url)
    try:
        await NamespaceBinding(client, database).hold()
    except ForeignNamespace as foreign:
        if not own:
            raise
        raise Mistake(
            f"{foreign.facts}. Restore the backup of the database. To start without any cases instead, move "
            f"{settings.var / 'temporal.db'} away, too"
        ) from foreign
    except (DatabaseUnavailable, RPCError) as error:
        raise Mistake(f"nobody knows to which installation the Temporal namespace belongs: {error}") from error
    finally:
        await database.close()


def _link(settings: Settings) -> str:
    from ops.demo import people_and_money

    try:
        return f"{settings.public_url}/sign-in?demo={people_and_money.secret(settings.demo_secret)}"
    except OSError as error:
        raise Mistake(f"{settings.demo_secret} cannot be written ({error.strerror}): change HOLDGATE_VAR") from error


async def _create_demo(settings: Settings) -> list[DemoPerson]:
    """Create the demo people if `HOLDGATE_DEMO` is on; otherwise deactivate the people of an earlier demo.

    Raises Mistake.
    """
    from ops.demo import people_and_money
    from store.db.database import Database, DatabaseUnavailable
    from store.people import demo_people

    database = Database(settings.database_url)
    try:
        if settings.demo:
            return await people_and_money.create_demo(database, settings.demo_tokens)
        await demo_people.dismiss_all(database, by=people_and_money.BY)
        return []
    except DatabaseUnavailable as error:
        raise Mistake(f"the database cannot be used (HOLDGATE_DATABASE_URL): {error}") from error
    finally:
        await database.close()
