"""Review the security of a folder or an archive: scan it, let people accept the risk, and store the accepted risk."""

from datetime import timedelta

from temporalio import workflow

# The sandbox imports this file again for each Workflow, but not these modules: they are deterministic and large.
with workflow.unsafe.imports_passed_through():
    from activities.security_review.request import SecurityReviewRequest
    from activities.security_review.steps import AcceptedRisk, ScanReport, SecurityReviews
    from domain.case import CaseInput, CaseResult
    from domain.step import StepOptions
    from domain.wording import Words
    from workflows.engine.case import BEAT, CaseWorkflow

LONG = StepOptions(time_limit=timedelta(minutes=4), attempts=3)


@workflow.defn(name="security_review")
class SecurityReviewProcess(CaseWorkflow):
    """Let people decide about the findings of scanners.

    1. Scan a copy of the target for faulty code and for secrets.
    2. Security decides about medium and high findings that were not accepted before. High findings need the approval of
       two people, who can also be directors. The policy has these rules.
    3. Store the accepted risk with its expiry date; undone by withdrawing the accepted risk.
    """

    @workflow.run
    async def run(self, case: CaseInput[SecurityReviewRequest]) -> CaseResult:
        return await self.conduct(case, self.review)

    async def review(self, request: SecurityReviewRequest) -> ScanReport | None:
        report = await self.step(SecurityReviews.scan_target, request, heartbeat=BEAT, options=LONG)
        await self.gate("risk-acceptance", facts=report)
        accepted = self.approvals("risk-acceptance")
        if report and report.worst and accepted:
            risk = AcceptedRisk(
                target=request.target,
                digest=report.digest,
                severity=report.worst,
                findings=report.findings,
                accepted_by=[each.by for each in accepted],
                reason="; ".join(each.comment for each in accepted if each.comment),
                expires_at=workflow.now() + timedelta(days=request.accept_for_days),
            )
            undo = SecurityReviews.withdraw_accepted_risk
            await self.step(SecurityReviews.record_accepted_risk, risk, undo=undo, local=True)
        return report

    words = Words(
        summary="Scan a folder or an archive and decide about the findings",
        title="Review {target}",
        key_fields=("target", "accept_for_days"),
        labels={
            "target": "Target",
            "sha256": "SHA-256",
            "accept_for_days": "Risk accepted for (days)",
            "note": "Note",
        },
        steps={
            "scan_target": "Scan {target} for faulty code and secrets",
            "record_accepted_risk": "Record the accepted risk of {target}",
        },
        undos={"withdraw_accepted_risk": "Withdraw the accepted risk of {target}"},
        gates={"risk-acceptance": "Is the risk of {target} acceptable? Found: {high} high, {medium} medium, {low} low"},
        nouns=("security review", "security reviews"),
        done="Reviewed {target}",
        facts_after={"risk-acceptance": "the scan"},
    )
