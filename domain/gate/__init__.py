"""The rules of one gate: one task, from its opening to its outcome. The functions are pure: the time is an argument.

| To find | Read |
|---|---|
| everything that can happen to a gate | `gate.py` |
| whether a decision is valid | `validate_decision.py` |
| the effect of a valid decision: quorum, veto, edits | `count_decision.py` |
| whether another action is allowed (claim, delegate, ask, move the deadline) | `validate_action.py` |
| the effect of an allowed action | `perform_action.py` |
| reminders, escalation, expiry, pauses | `clock.py`, `timers.py` |
| whether enough people are left, and what follows | `recount.py` |
| changes by a new policy, or when a person leaves | `follow_ruling.py`, `replace_person.py` |

Who may decide is in `domain/permissions.py`.
"""

from domain.gate.gate import Gate as Gate
from domain.gate.state import GateEvent as GateEvent
from domain.gate.validate_decision import REASONS as REASONS, wrong_verdict as wrong_verdict
