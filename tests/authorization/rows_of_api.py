"""A row for each route of the OpenAPI document: which line of the permissions it belongs to, and a request."""

from tests.api.conftest import payment
from tests.authorization.callers import PASSWORD
from tests.authorization.permissions import What
from tests.authorization.rows import FILE, SHEET, Row, Rows

REASON = {"reason": "A test"}
AWAY = {"from": "2033-01-01", "to": "2033-01-02"}
READS_CASE = Row(What.READ_CASE, "case")
READS_BATCH = Row(What.READ_BATCH, "batch")
ORDERS_BATCH = Row(What.ORDER_BATCH, "batch", json=REASON, refused=409)
READS_PERSON = Row(What.READ_PEOPLE, "person")
OVERSEES = Row(What.OVERSEE)

ROWS: Rows = {
    # --------------------------------------------------------------------------------------------------------- anybody
    "GET /health/live": Row(What.PUBLIC),
    "GET /health/ready": Row(What.PUBLIC),
    "GET /metrics": Row(What.PUBLIC),
    "POST /codec/encode": Row(What.PUBLIC, refused=404),
    "POST /codec/decode": Row(What.DECODE, json={"payloads": []}),
    # ------------------------------------------------------------------------------------------------------ one's own
    "GET /api/v1/me": Row(What.OWN),
    "GET /api/v1/events": Row(What.OWN),
    "GET /api/v1/me/notices": Row(What.OWN),
    "PUT /api/v1/me/notices": Row(What.OWN, json={"choices": {"task_lost": "off"}}),
    "GET /api/v1/me/absence": Row(What.OWN),
    "PUT /api/v1/me/absence": Row(What.OWN, json=AWAY),
    "DELETE /api/v1/me/absence": Row(What.OWN),
    "GET /api/v1/me/tokens": Row(What.OWN),
    "POST /api/v1/me/tokens": Row(What.OWN, json={"label": "A test", "password": PASSWORD}),
    "DELETE /api/v1/me/tokens/{token_id}": Row(What.OWN, "own_token"),
    "GET /api/v1/me/passkeys": Row(What.OWN),
    "POST /api/v1/me/passkeys": Row(What.OWN, json={"password": PASSWORD}),
    "PATCH /api/v1/me/passkeys/{passkey_id}": Row(What.OWN, "own_passkey", json={"name": "Another name"}),
    "DELETE /api/v1/me/passkeys/{passkey_id}": Row(What.OWN, "own_passkey", json={"password": PASSWORD}),
    "GET /api/v1/processes": Row(What.OWN),
    "GET /api/v1/processes/{name}": Row(What.REQUEST_TYPE, "process"),
    "GET /api/v1/processes/{name}/template.csv": Row(What.REQUEST_TYPE, "process"),
    "GET /api/v1/cases": Row(What.OWN),
    "GET /api/v1/tasks": Row(What.OWN),
    "POST /api/v1/tasks/decisions": Row(
        What.OWN, json={"items": [{"task_id": "{task_id}", "verdict": "approve", "revision": 1}]}
    ),
    "GET /api/v1/batches": Row(What.OWN),
    "GET /api/v1/dashboard": Row(What.OWN),
    "GET /api/v1/audit/keys": Row(What.OWN),
    "GET /api/v1/audit/checkpoint": Row(What.OWN, "checkpoint"),
    # -------------------------------------------------------------------------------------------------- cases and tasks
    "POST /api/v1/cases": Row(What.START, json=payment),
    "GET /api/v1/cases/{case_id}": READS_CASE,
    "GET /api/v1/cases/{case_id}/timeline": READS_CASE,
    "GET /api/v1/cases/{case_id}/comments": READS_CASE,
    "POST /api/v1/cases/{case_id}/comments": Row(What.READ_CASE, "case", json={"text": "A comment"}, keeps=True),
    "GET /api/v1/cases/{case_id}/attachments": READS_CASE,
    "POST /api/v1/cases/{case_id}/attachments": Row(What.READ_CASE, "case", files=FILE, keeps=True),
    "GET /api/v1/cases/{case_id}/attachments/{attachment_id}": Row(What.READ_CASE, "attachment"),
    "POST /api/v1/cases/{case_id}/cancel": Row(What.CANCEL, "case", json=REASON),
    "POST /api/v1/cases/{case_id}/start": Row(What.CANCEL, "case", refused=409),
    "POST /api/v1/cases/{case_id}/rollback": Row(What.ROLL_BACK, "completed", json=REASON),
    "POST /api/v1/cases/{case_id}/erase": Row(What.ERASE_CASE, "completed", json=REASON),
    "GET /api/v1/tasks/{task_id}": READS_CASE,
    "GET /api/v1/tasks/{task_id}/receipt": Row(What.READ_CASE, "decided"),
    "PUT /api/v1/tasks/{task_id}/follow-up": Row(
        What.READ_CASE, "case", json={"until": "2033-01-01T00:00:00Z"}, keeps=True
    ),
    "DELETE /api/v1/tasks/{task_id}/follow-up": Row(What.READ_CASE, "case", keeps=True),
    "POST /api/v1/tasks/{task_id}/decision": Row(What.DECIDE, "case", json={"verdict": "approve", "revision": 1}),
    "POST /api/v1/tasks/{task_id}/claim": Row(What.DECIDE, "case", json={}),
    "POST /api/v1/tasks/{task_id}/delegate": Row(What.DECIDE, "case", json={"to": "manager-2"}),
    "POST /api/v1/tasks/{task_id}/questions": Row(
        What.DECIDE, "case", json={"to": "requester-1", "text": "Which order?"}
    ),
    "POST /api/v1/tasks/{task_id}/reveal": Row(
        What.REVEAL, "case", json={"field": "payee_account", **REASON}, keeps=True
    ),
    "POST /api/v1/tasks/{task_id}/withdraw": Row(What.WITHDRAW_DECISION, "decided", json={}),
    "POST /api/v1/tasks/{task_id}/release": Row(What.RELEASE, "claimed", json={}),
    "POST /api/v1/tasks/{task_id}/reassign": Row(What.REASSIGN, "case", json={"to": "manager-2"}),
    "POST /api/v1/tasks/reassign": Row(
        What.REASSIGN_MANY, json={"to": "manager-2", "filter": {"task_ids": ["{task_id}"]}}
    ),
    "POST /api/v1/tasks/{task_id}/clock": Row(
        What.DEADLINES, "case", json={"due_at": "2033-01-01T00:00:00Z", "expires_at": "2033-02-01T00:00:00Z", **REASON}
    ),
    "POST /api/v1/tasks/{task_id}/questions/{question_id}/answer": Row(What.ANSWER, "asked", json={"text": "PO 4711"}),
    "POST /api/v1/tasks/{task_id}/questions/{question_id}/withdraw": Row(What.WITHDRAW_QUESTION, "asked", json={}),
    "POST /api/v1/tasks/{task_id}/nudge": Row(What.REMIND, "case"),
    "GET /api/v1/decisions/{decision_id}": Row(What.READ_OUTCOME, "decided"),
    "GET /api/v1/actions/{action_id}": Row(What.READ_OUTCOME, "action"),
    "GET /api/v1/incidents": Row(What.INCIDENTS),
    "POST /api/v1/incidents/decisions": Row(What.INCIDENTS, json={"verdict": "retry", "task_ids": ["{task_id}"]}),
    # ----------------------------------------------------------------------------------------------------------- files
    "POST /api/v1/batches": Row(What.START, files=SHEET, query={"process": "payment", "dry_run": "true"}),
    "GET /api/v1/batches/{batch_id}": READS_BATCH,
    "GET /api/v1/batches/{batch_id}/events": READS_BATCH,
    "GET /api/v1/batches/{batch_id}/rows": READS_BATCH,
    "POST /api/v1/batches/{batch_id}/pause": ORDERS_BATCH,
    "POST /api/v1/batches/{batch_id}/resume": ORDERS_BATCH,
    "POST /api/v1/batches/{batch_id}/cancel": ORDERS_BATCH,
    "POST /api/v1/batches/{batch_id}/erase": Row(What.ERASE_UPLOAD, "ended_batch", json=REASON),
    # ------------------------------------------------------------------------------------------------ what others wrote
    "GET /api/v1/policies/{hash}": Row(What.READ_POLICY, "policy"),
    "POST /api/v1/policies/apply": Row(What.APPLY_POLICY, json={"dry_run": True}),
    "GET /api/v1/audit": OVERSEES,
    "GET /api/v1/audit/pack": Row(What.OVERSEE, "case", query={"case_id": "{case_id}"}),
    "GET /api/v1/ledger/accounts": OVERSEES,
    "GET /api/v1/ledger/accounts/{name}": Row(What.OVERSEE, "account", query={"currency": "GBP"}),
    "GET /api/v1/ledger/entries": OVERSEES,
    "GET /api/v1/ledger/changes": OVERSEES,
    "GET /api/v1/ledger/changes/{change_id}": Row(What.OVERSEE, "change"),
    "POST /api/v1/ledger/accounts": Row(
        What.CHANGE_LEDGER,
        json={"account": "{key}", "currency": "GBP", **REASON},
    ),
    "POST /api/v1/ledger/accounts/{name}/funds": Row(
        What.CHANGE_LEDGER, "account", json={"currency": "GBP", "amount": "{number}", **REASON}
    ),
    "POST /api/v1/ledger/changes/{change_id}/confirm": Row(What.CHANGE_LEDGER, "change"),
    "POST /api/v1/ledger/changes/{change_id}/withdraw": Row(What.CHANGE_LEDGER, "change"),
    "GET /api/v1/directory/accounts/{username}": Row(What.RECEIVERS, "directory"),
    "GET /api/v1/datasets": Row(What.DATASETS),
    "GET /api/v1/datasets/{name}": Row(What.DATASETS, "dataset"),
    "GET /api/v1/risks": Row(What.RECEIVERS),
    "GET /api/v1/legal-holds": Row(What.HOLDS),
    "POST /api/v1/legal-holds": Row(
        What.HOLDS, "case", json={"kind": "case", "subject": "{case_id}", **REASON}, keeps=True
    ),
    "DELETE /api/v1/legal-holds/{hold_id}": Row(What.HOLDS, "hold", json=REASON),
    # ---------------------------------------------------------------------------------------------------------- people
    "GET /api/v1/people": Row(What.READ_PEOPLE),
    "POST /api/v1/people": Row(What.CHANGE_PEOPLE, json={"id": "{key}", "name": "New", "groups": []}),
    "GET /api/v1/people/{person_id}": READS_PERSON,
    "PATCH /api/v1/people/{person_id}": Row(What.CHANGE_PEOPLE, "person", json={"time_zone": None}, keeps=True),
    "PUT /api/v1/people/{person_id}/groups/{group}": Row(What.CHANGE_PEOPLE, "person", keeps=True),
    "DELETE /api/v1/people/{person_id}/groups/{group}": Row(What.CHANGE_PEOPLE, "person"),
    "GET /api/v1/groups": Row(What.READ_PEOPLE),
    "GET /api/v1/people/{person_id}/tokens": READS_PERSON,
    "DELETE /api/v1/people/{person_id}/tokens/{token_id}": Row(What.CHANGE_PEOPLE, "person"),
    "DELETE /api/v1/people/{person_id}/tokens": Row(What.CHANGE_PEOPLE, "person"),
    "GET /api/v1/people/{person_id}/passkeys": READS_PERSON,
    "DELETE /api/v1/people/{person_id}/passkeys/{passkey_id}": Row(What.CHANGE_PEOPLE, "person"),
    "POST /api/v1/people/{person_id}/link": Row(What.CHANGE_PEOPLE, "person"),
    "GET /api/v1/one-time-links": Row(What.READ_PEOPLE),
    "POST /api/v1/one-time-links/{link_id}/confirm": Row(What.CHANGE_PEOPLE, "link"),
    "POST /api/v1/one-time-links/{link_id}/withdraw": Row(What.CHANGE_PEOPLE, "link"),
    "POST /api/v1/people/{person_id}/unlock": Row(What.CHANGE_PEOPLE, "person", keeps=True),
    "DELETE /api/v1/people/{person_id}/sessions": Row(What.CHANGE_PEOPLE, "person", keeps=True),
    "GET /api/v1/people/{person_id}/absence": READS_PERSON,
    "PUT /api/v1/people/{person_id}/absence": Row(What.CHANGE_PEOPLE, "person", json=AWAY, keeps=True),
    "DELETE /api/v1/people/{person_id}/absence": Row(What.CHANGE_PEOPLE, "person", keeps=True),
    "POST /api/v1/people/{person_id}/replace": Row(What.CHANGE_PEOPLE, "person", json={"by": "admin-2", **REASON}),
    "GET /api/v1/me/identities": Row(What.OWN),
    "GET /api/v1/people/{person_id}/identities": READS_PERSON,
    "DELETE /api/v1/people/{person_id}/identities/{identity_id}": Row(What.CHANGE_PEOPLE, "identity"),
    "GET /api/v1/service-accounts": Row(What.OWN),
    "POST /api/v1/service-accounts": Row(
        What.CHANGE_PEOPLE,
        json={"id": "{key}", "name": "A bot", "owners": ["admin-2"], "scopes": ["cases:read"]},
    ),
    "GET /api/v1/service-accounts/{account_id}": Row(What.READ_PEOPLE, "service"),
    "PATCH /api/v1/service-accounts/{account_id}": Row(What.CHANGE_PEOPLE, "service", json={"owners": ["admin-2"]}),
    "DELETE /api/v1/service-accounts/{account_id}": Row(What.CHANGE_PEOPLE, "service"),
    "POST /api/v1/service-accounts/{account_id}/deactivate": Row(What.CHANGE_PEOPLE, "service"),
    "POST /api/v1/service-accounts/{account_id}/reactivate": Row(What.CHANGE_PEOPLE, "deactivated_service"),
    "POST /api/v1/service-accounts/{account_id}/tokens": Row(What.CHANGE_PEOPLE, "service", json={"label": "A test"}),
    "DELETE /api/v1/service-accounts/{account_id}/tokens/{token_id}": Row(What.CHANGE_PEOPLE, "service"),
    "POST /api/v1/people/{person_id}/erase": Row(What.ERASE_PERSON, "left", json=REASON),
    "POST /api/v1/people/{person_id}/deactivate": Row(What.CHANGE_PEOPLE, "person", json=REASON),
    "POST /api/v1/people/{person_id}/reactivate": Row(What.CHANGE_PEOPLE, "left", json={"groups": []}),
}
