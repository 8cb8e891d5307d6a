"""Pay an invoice: hold the money, screen the payment, let the right people decide, and pay the money."""

from temporalio import workflow

# The sandbox imports this file again for each Workflow, but not these modules: they are deterministic and large.
with workflow.unsafe.imports_passed_through():
    from activities.payment.request import PaymentRequest
    from activities.payment.steps import PaymentReceipt, Payments
    from domain.case import CaseInput, CaseResult
    from domain.wording import Words
    from workflows.engine.case import CaseWorkflow


@workflow.defn(name="payment")
class PaymentProcess(CaseWorkflow):
    """Pay one invoice.

    1. Hold the money; undone by releasing it.
    2. Screen the payment for fraud. The screening runs after the hold, so that of two equal payments the screening
       finds the later one as a duplicate.
    3. If the screening found a risk, a fraud analyst decides.
    4. Managers decide as the policy says for the amount; above a limit a director decides, too.
    5. Pay the money; undone by refunding it.
    """

    @workflow.run
    async def run(self, case: CaseInput[PaymentRequest]) -> CaseResult:
        return await self.conduct(case, self.pay)

    async def pay(self, request: PaymentRequest) -> PaymentReceipt | None:
        await self.step(Payments.reserve_funds, request, undo=Payments.release_funds)
        screening = await self.step(Payments.screen_payment, request)
        request = await self.gate("fraud-review", request, facts=screening)
        request = await self.gate("manager-approval", request, facts=screening)
        request = await self.gate("director-approval", request, facts=screening)
        return await self.step(
            Payments.capture_payment, request, undo=Payments.refund_payment, uses=Payments.reserve_funds
        )

    words = Words(
        summary="Pay one invoice from a funded account",
        title="Pay {payee} {amount} {currency}",
        key_fields=("payee", "amount", "currency", "due_date"),
        labels={
            "payee": "Payee",
            "amount": "Amount",
            "currency": "Currency",
            "account": "From account",
            "due_date": "Due date",
            "memo": "Memo",
            "payee_account": "Payee's account",
        },
        steps={
            "reserve_funds": "Hold {amount} {currency} on {account}",
            "screen_payment": "Screen the payment to {payee} for fraud",
            "capture_payment": "Pay {amount} {currency} to {payee}",
        },
        undos={
            "release_funds": "Release the held {amount} {currency}",
            "refund_payment": "Refund {amount} {currency} from {payee}",
        },
        gates={
            "fraud-review": "The screening found risk. May {amount} {currency} be paid to {payee}?",
            "manager-approval": "May {amount} {currency} be paid to {payee}?",
            "director-approval": "Large payment: may {amount} {currency} be paid to {payee}?",
        },
        masked=frozenset({"payee_account"}),
        nouns=("payment", "payments"),
        done="Paid {amount} {currency} to {payee}",
        money=("amount", "currency"),
        facts_after={"fraud-review": "the screening"},
    )
