"""The steps of the processes that are shipped, each with the receiver of its effects."""

from functools import partial

from temporalio.client import Client

from activities.data_import.steps import DataImports
from activities.deployment.apps import read_apps
from activities.deployment.releases import Releases
from activities.deployment.steps import Deployments
from activities.engine.child_cases import ChildCases
from activities.erasure.steps import Erasures
from activities.payment.steps import Payments
from activities.security_review.steps import SecurityReviews
from activities.user_onboarding.steps import Onboarding
from cases.child_cases import SqlChildren
from cases.erasure import SqlEraser, owner_of
from cases.pinned_policies import PinnedPolicies
from cases.submit import Starter
from channels.registry import mailer
from core.settings import Settings
from store.audit.verification import Folders
from store.db.database import Database
from store.erasure.files import delete_files
from store.receivers.accepted_risks import Risks
from store.receivers.accounts import AccountDirectory
from store.receivers.datasets import Datasets
from store.receivers.ledger import Ledger


def steps(
    database: Database, client: Client, starter: Starter, policies: PinnedPolicies, settings: Settings
) -> list[object]:
    """Return the objects whose methods carry out the steps of the shipped processes. Raises WrongApps."""
    clean_up = partial(delete_files, database, Folders(settings.attachments, settings.uploads))
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
        Erasures(SqlEraser(database, owner_of(database, settings.owner_url), policies, clean_up)),
        Onboarding(AccountDirectory(database), mailer(settings), policies.lists("user_onboarding")),
        Payments(Ledger(database), policies.lists("payment")),
        SecurityReviews(Risks(database), settings.files, settings.var / "scans"),
    ]
