"""Onboard a new employee: reserve an account, ask the manager and the owners of entitlements, and grant access."""

from datetime import timedelta

from temporalio import workflow

# The sandbox imports this file again for each Workflow, but not these modules: they are deterministic and large.
with workflow.unsafe.imports_passed_through():
    from activities.user_onboarding.request import OnboardingRequest
    from activities.user_onboarding.steps import Granted, Onboarding
    from domain.case import CaseInput, CaseResult
    from domain.step import StepOptions
    from domain.wording import Words
    from workflows.engine.case import CaseWorkflow, GateAt

MAIL = StepOptions(time_limit=timedelta(seconds=60))
"""The options of the step that sends mail. The time limit of 60 seconds gives a slow mail server enough time."""


@workflow.defn(name="user_onboarding")
class UserOnboardingProcess(CaseWorkflow):
    """Give a new employee an account.

    1. Look up the role and reserve the username with an account that cannot be used yet; undone by disabling it.
    2. In any order: the manager whom the request names decides, or any manager if it names none; and the owners of each
       sensitive entitlement decide.
    3. Activate the account and grant the entitlements of the role; undone by revoking both.
    4. Send a welcome mail, which cannot be undone.
    """

    @workflow.run
    async def run(self, case: CaseInput[OnboardingRequest]) -> CaseResult:
        return await self.conduct(case, self.take_on)

    async def take_on(self, request: OnboardingRequest) -> Granted | None:
        access = await self.step(Onboarding.reserve_account, request, undo=Onboarding.disable_account, local=True)
        # Operators may have skipped that step. Then nothing is reserved, and the directory refuses to grant anything.
        owned = access.sensitive if access else []
        await self.gates(GateAt("manager-approval", access), *(GateAt("entitlement-approval", each) for each in owned))
        granted = await self.step(Onboarding.grant_access, request, undo=Onboarding.revoke_access, local=True)
        await self.step(Onboarding.send_welcome, request, options=MAIL)
        return granted

    words = Words(
        summary="Create an account for a new person, with the access of the role",
        title="Onboard {full_name} as {role}",
        key_fields=("full_name", "username", "role", "start_date"),
        labels={
            "full_name": "Name",
            "username": "Username",
            "role": "Role",
            "manager": "Manager",
            "email": "E-mail",
            "start_date": "First day",
            "note": "Note",
        },
        steps={
            "reserve_account": "Reserve the account {username} for {full_name}",
            "grant_access": "Activate {username} and grant the access of {role}",
            "send_welcome": "Send a welcome mail to {full_name}",
        },
        undos={
            "disable_account": "Disable the account {username}",
            "revoke_access": "Revoke the access of {username}",
        },
        gates={
            "manager-approval": "May {full_name} have the account {username} as {role}?",
            "entitlement-approval": "May {full_name} ({username}, {role}) have {entitlement}?",
        },
        nouns=("user onboarding", "user onboardings"),
        done="Onboarded {full_name} as {role}",
        facts_after={"entitlement-approval": "the account is reserved"},
        repeated=frozenset({"entitlement-approval"}),
    )
