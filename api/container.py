"""Open and close the services of the gateway, which routes and pages use: database, Temporal, policy and others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.gateway.confirmations import Confirmations
from api.gateway.gateway import Gateway
from api.services.audit_check import AuditChecks
from api.services.dashboard import Dashboards
from api.services.demo_people import Demo
from api.services.live_updates import LiveUpdates
from api.services.metrics import Metrics
from api.services.rate_limits import RateLimits
from api.services.revoked_tokens import RevokedTokenLog
from api.services.token_uses import TokenUses
from api.services.turns import Turns
from cases.erasure_requests import ErasureRequests
from cases.namespace_binding import NamespaceBinding
from cases.payload_encryption import PayloadEncryption
from cases.rollback import Rollbacks
from cases.settle_blocked import Settlement
from cases.submit import Starter
from core.settings import Settings, WrongSettings
from core.signed_client import signing
from core.signing_keys import KeyFile, own_key
from core.temporal import connect
from domain.proof.keys import Role, SigningKey
from domain.rate_limits import parse
from intake.staged_files import StagedFiles
from intake.upload import Uploads
from policy.file import PolicyFile
from store.audit.sequencer import Sequencer
from store.audit.verification import Folders, Trust
from store.db.database import Database, DatabaseUnavailable
from store.people import demo_people
from store.receivers.accepted_risks import Risks
from store.receivers.accounts import AccountDirectory
from store.receivers.datasets import Datasets
from store.receivers.ledger import Ledger

if TYPE_CHECKING:
    from api.oidc.single_sign_on import SingleSignOn

WRITE_PATIENCE_S = 10.0
"""The most seconds that a request waits until it can write to the database. A slow answer is better than an error."""


@dataclass(frozen=True)
class Services:
    """The services of the gateway. Routes get these services from `api.deps`, middleware from `app.state.services`."""

    settings: Settings
    db: Database
    policy: PolicyFile
    starter: Starter
    rollbacks: Rollbacks
    erasures: ErasureRequests
    uploads: Uploads
    held: StagedFiles
    live: LiveUpdates
    limits: RateLimits
    turns: Turns
    ledger: Ledger
    directory: AccountDirectory
    datasets: Datasets
    risks: Risks
    gateway: Gateway
    confirmations: Confirmations
    metrics: Metrics
    dashboards: Dashboards
    demo: Demo
    checks: AuditChecks
    keys: KeyFile
    signing_key: SigningKey
    revoked_token_log: RevokedTokenLog
    token_uses: TokenUses
    binding: NamespaceBinding
    encryption: PayloadEncryption
    single_sign_on: "SingleSignOn | None"
    """Single sign-on with an identity provider; None if the settings name no provider."""

    @property
    def must_stop(self) -> WrongSettings | None:
        """Return why this gateway must not run: the namespace or the encryption is that of another installation."""
        return self.binding.foreign or self.encryption.wrong

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, policy: PolicyFile, metrics: Metrics) -> AsyncIterator["Services"]:
        """Open all services, and close them in order when the block ends. Temporal and the database need not answer."""
        # Lazy: a gateway that starts before Temporal answers 503 until Temporal is up.
        key, keys = own_key(settings, Role.GATEWAY), KeyFile(settings.trusted_keys)
        db = Database(settings.database_url, patience=WRITE_PATIENCE_S)
        encryption = PayloadEncryption(db, settings.payload_keys)
        await encryption.check_soon()
        client = signing(await connect(settings, keys=encryption.keys, lazy=True), key)
        if not settings.demo:
            with suppress(DatabaseUnavailable):  # each request checks the database anyway
                await demo_people.dismiss_all(db, by="holdgate")
        binding = NamespaceBinding(client, db)
        await binding.hold_soon()
        starter = Starter(db, client, policy)
        rollbacks = Rollbacks(db, client, starter)
        confirmations = Confirmations(db, client.namespace, settings)
        settlement = Settlement(db, client, rollbacks, key)
        rest = AsyncExitStack()
        sign_on = await rest.enter_async_context(_single_sign_on(settings, db, policy))
        fresh = sign_on.fresh if sign_on else None
        gateway = Gateway(client, db, settings.temporal_ui_url, settlement, policy, confirmations, fresh)
        services = cls(
            settings=settings,
            db=db,
            policy=policy,
            starter=starter,
            rollbacks=rollbacks,
            erasures=ErasureRequests(db, starter),
            uploads=Uploads(db, client, policy, settings.uploads, mappings=settings.mappings),
            held=StagedFiles(settings.uploads / "held"),
            live=LiveUpdates(db, policy),
            limits=RateLimits(db, parse(settings.rate_limits)),
            turns=Turns(),
            ledger=Ledger(db),
            directory=AccountDirectory(db),
            datasets=Datasets(db),
            risks=Risks(db),
            gateway=gateway,
            confirmations=confirmations,
            metrics=metrics,
            dashboards=Dashboards(db, gateway, policy),
            demo=Demo(settings),
            checks=AuditChecks(
                db,
                Folders(settings.attachments, settings.uploads),
                keys,
                lambda: Trust.of(settings.record_public_keys, settings.checkpoints),
            ),
            keys=keys,
            signing_key=key,
            revoked_token_log=RevokedTokenLog(db),
            token_uses=TokenUses(db),
            binding=binding,
            encryption=encryption,
            single_sign_on=sign_on,
        )
        watching = [asyncio.create_task(watch) for watch in (binding.watch(), encryption.watch())]
        sequencing = asyncio.create_task(Sequencer(settings.database_url).run())
        try:
            yield services
        finally:
            for watch in watching:
                watch.cancel()
            await services.checks.close()
            await services.live.ended()
            await gateway.close()
            await services.token_uses.close()
            await rest.aclose()
            await db.close()
            sequencing.cancel()  # last: it also sequences what was written while the process stopped
            await asyncio.gather(sequencing, return_exceptions=True)


@asynccontextmanager
async def _single_sign_on(settings: Settings, db: Database, policy: PolicyFile) -> AsyncIterator["SingleSignOn | None"]:
    if settings.oidc_issuer is None:
        yield None
        return
    from api.oidc.single_sign_on import opened  # its libraries take a quarter of a second

    async with opened(settings, db, lambda: policy.current) as found:
        yield found
