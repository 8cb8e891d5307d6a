"""Deploy a release: unpack, compare, check and approve it, switch to it, and switch back if it is not healthy."""

from datetime import timedelta

from temporalio import workflow

# The sandbox imports this file again for each Workflow, but not these modules: they are deterministic and large.
with workflow.unsafe.imports_passed_through():
    from activities.deployment.request import DeploymentRequest
    from activities.deployment.steps import Checked, Code, Compared, Deployed, Deployments, Release
    from activities.security_review.request import SecurityReviewRequest
    from domain.case import CaseInput, CaseResult
    from domain.step import StepOptions
    from domain.wording import Words
    from workflows.engine.case import BEAT, CaseWorkflow

LONG = StepOptions(time_limit=timedelta(minutes=6))
"""The options of steps that run checks.

In the file of apps, an app can set up to 5 minutes for its checks, and up to 5 minutes for its health check.
"""
PATIENT = StepOptions(attempts=0, retry_for=timedelta(hours=1), longest_pause=timedelta(seconds=5))
"""The options of the step that locks an app, which may have to wait until another deployment of the app ends."""


@workflow.defn(name="deployment")
class DeploymentProcess(CaseWorkflow):
    """Deploy an artefact.

    1. Verify and unpack the artefact as a release; undone by removing it.
    2. Compare the release with the live release.
    3. If requested, a child case reviews the security of the artefact.
    4. Security decides, before any code of the release has run.
    5. Run the checks of the app. The checks run code of the release.
    6. A release manager decides, and sees the results of the checks.
    7. Lock the app, so that no other deployment changes the app; undone by unlocking the app.
    8. Switch the app to the release; undone by switching the app back to the previous release and unlocking the app.
       This undo replaces the undo of step 7.
    9. Wait until the release is healthy. If the release does not become healthy, all steps are undone.
    10. Unlock the app, and delete its oldest releases.

    If the policy needs no release manager for this release, step 5 comes before step 4: security then sees the results
    of the checks, and the checks run unapproved code. Unapproved code always runs isolated, whatever the settings say.
    """

    @workflow.run
    async def run(self, case: CaseInput[DeploymentRequest]) -> CaseResult:
        return await self.conduct(case, self.deploy)

    async def deploy(self, request: DeploymentRequest) -> Deployed | None:
        release = await self.step(
            Deployments.unpack_release,
            request,
            skipped=Release.not_unpacked(request),
            undo=Deployments.remove_release,
            heartbeat=BEAT,
            options=LONG,
        )
        compared = await self.step(Deployments.compare_release, release, heartbeat=BEAT, options=LONG)
        if request.security_review:
            review = SecurityReviewRequest(target=request.artefact, sha256=release.sha256 or None)
            await self.case("security review", "security_review", review)
        if await self.will_ask("release-approval", facts=compared):
            await self.gate("security-approval", facts=compared)
            checked = await self._checks(release, compared)
        else:
            checked = await self._checks(release, compared)
            await self.gate("security-approval", facts=checked)
        await self.gate("release-approval", facts=checked)
        await self.step(Deployments.hold_app, release, undo=Deployments.free_app, options=PATIENT)
        await self.step(Deployments.switch_release, release, undo=Deployments.switch_back, uses=Deployments.hold_app)
        await self.step(Deployments.check_health, release, heartbeat=BEAT, options=LONG)
        return await self.step(Deployments.finish_deployment, release)

    async def _checks(self, release: Release, compared: Compared | None) -> Checked:
        code = Code.of(release, compared, approved=bool(self.approvals("security-approval")))
        return await self.step(
            Deployments.check_release, code, skipped=Checked.not_run(code), heartbeat=BEAT, options=LONG
        )

    words = Words(
        summary="Deploy an artefact as an app",
        title="Deploy {artefact} as {app}",
        key_fields=("app", "artefact", "version", "sha256"),
        labels={
            "app": "App",
            "artefact": "Artefact",
            "sha256": "SHA-256",
            "version": "Version",
            "security_review": "Security review",
            "note": "Note",
        },
        steps={
            "unpack_release": "Verify and unpack {artefact}",
            "compare_release": "Compare the release with the live release of {app}",
            "check_release": "Run the checks of {app}, with code of the release",
            "hold_app": "Lock {app} for this deployment",
            "switch_release": "Switch {app} to the new release",
            "check_health": "Wait until {app} is healthy",
            "finish_deployment": "Unlock {app} for other deployments",
        },
        undos={
            "remove_release": "Remove the release unpacked from {artefact}",
            "free_app": "Unlock {app} for other deployments",
            "switch_back": "Switch {app} back to the previous release",
        },
        gates={
            "security-approval": "Is {artefact} safe enough to go live as {app}?",
            "release-approval": "May {artefact} go live as {app}?",
        },
        nouns=("deployment", "deployments"),
        done="Deployed {artefact} as {app}",
    )
