"""A row for each page and each action of a page: which line of the permissions it belongs to, and a request."""

from collections.abc import Iterator
from typing import Literal, get_args, get_origin

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts

from tests.authorization.callers import PASSWORD
from tests.authorization.permissions import What
from tests.authorization.rows import FILE, SHEET, Row, Rows

REASON = {"reason": "A test"}
AWAY = {"from": "2033-01-01", "to": "2033-01-02"}
PUBLIC = Row(What.PUBLIC)
OWN = Row(What.OWN)
READS_CASE = Row(What.READ_CASE, "case")
READS_BATCH = Row(What.READ_BATCH, "batch")
OVERSEES = Row(What.OVERSEE)
READS_POLICY = Row(What.READ_POLICY)
KEEPS_PERSON = Row(What.CHANGE_PEOPLE, "person", keeps=True)
CHANGES_PERSON = Row(What.CHANGE_PEOPLE, "person")
ASKS_IN_LEDGER = {"currency": "GBP", "amount": "{number}", "key": "{key}", **REASON}
PAYMENT = {
    "input.payee": "{key}",
    "input.amount": "1250",
    "input.currency": "GBP",
    "input.account": "operating",
}


def _of_task(what: What, thing: str = "case", *, keeps: bool = False, **form: str) -> Row:
    return Row(what, thing, form=form, keeps=keeps)


ROWS: Rows = {
    # --------------------------------------------------------------------------------------------------------- anybody
    "GET /docs": PUBLIC,
    "GET /sign-in": PUBLIC,
    "POST /sign-in": Row(What.PUBLIC, form={"name": "manager-2", "password": PASSWORD}, ends_sessions=True),
    "POST /sign-in/passkey": PUBLIC,
    "POST /sign-out": Row(What.PUBLIC, ends_sessions=True),
    # No identity provider is configured here: test_matrix.py is about who may ask.
    "GET /sign-in/oidc": Row(What.PUBLIC, refused=404),
    "GET /sign-in/oidc/callback": Row(What.PUBLIC, refused=404),
    "POST /sign-in/oidc/connect": Row(What.PUBLIC, refused=404),
    "POST /sign-out/oidc": Row(What.PUBLIC, refused=404),
    "GET /link": PUBLIC,
    "POST /link act=sign-in": Row(What.PUBLIC, "emergency", form={"code": "{code}"}, ends_sessions=True),
    "POST /link act=password": Row(
        What.PUBLIC, "code", form={"code": "{code}", "second": "{second}", "new": PASSWORD, "again": PASSWORD}
    ),
    "POST /link act=token": Row(What.PUBLIC, "code", form={"code": "{code}", "second": "{second}", "label": "A test"}),
    # ------------------------------------------------------------------------------------------------------ one's own
    "GET /": OWN,
    "GET /events": OWN,
    "POST /bulk": Row(
        What.OWN, form={"verdict": "approve", "decision_id": "none", "task": ["{task_id}.1"], "sure": "yes"}
    ),
    "GET /bulk/{id}": Row(What.OWN, "own_bulk"),
    "GET /cases": OWN,
    "GET /requests": OWN,
    "GET /batches": OWN,
    "GET /dashboard": OWN,
    "GET /settings": OWN,
    "GET /notices": OWN,
    "POST /settings/zone": Row(What.OWN, form={"value": "Europe/London"}),
    "POST /settings/look": Row(What.OWN, form={"theme": "dark"}),
    "POST /settings/away": Row(What.OWN, form=AWAY),
    "POST /settings/back": OWN,
    "POST /settings/notices": Row(What.OWN, form={"task_lost": "off"}),
    "POST /settings/token": Row(What.OWN, form={"value": "A test", "password": PASSWORD}),
    "POST /settings/revoke": Row(What.OWN, "own_token", form={"value": "{token_id}"}),
    "POST /settings/link": Row(What.OWN, refused=409),  # mail is off: an administrator sends the link
    "POST /settings/seen": Row(What.OWN, form={"value": "0"}),
    "POST /settings/passkeys/options": Row(What.OWN, form={"password": PASSWORD}),
    "POST /settings/passkeys/add": Row(What.OWN, form={"name": "A key", "credential": "{}"}, refused=422),
    "POST /settings/passkeys/rename": Row(
        What.OWN, "own_passkey", form={"passkey_id": "{passkey_id}", "name": "Another name"}
    ),
    "POST /settings/passkeys/remove": Row(
        What.OWN, "own_passkey", form={"passkey_id": "{passkey_id}", "password": PASSWORD}
    ),
    "GET /password": OWN,
    "POST /password": Row(What.OWN, form={"old": PASSWORD, "new": PASSWORD, "again": PASSWORD}, ends_sessions=True),
    "POST /session": OWN,
    "POST /sign-out-everywhere": Row(What.OWN, ends_sessions=True),
    # ------------------------------------------------------------------------------------------------- cases and tasks
    "GET /new": Row(What.START),
    "GET /new/{process}": Row(What.START, "process"),
    "POST /new/{process}": Row(
        What.START,
        "process",
        form={"reference": "{key}", **PAYMENT},
    ),
    "GET /cases/{case_id}": READS_CASE,
    "GET /cases/{case_id}/history": READS_CASE,
    "GET /cases/{case_id}/attachments/{attachment_id}": Row(What.READ_CASE, "attachment"),
    "POST /cases/{case_id}/comment": Row(What.READ_CASE, "case", form={"text": "A comment"}, keeps=True),
    "POST /cases/{case_id}/attach": Row(What.READ_CASE, "case", files=FILE, keeps=True),
    "POST /cases/{case_id}/cancel": Row(What.CANCEL, "case", form=REASON),
    "POST /cases/{case_id}/start": Row(What.CANCEL, "case", refused=409),
    "POST /cases/{case_id}/rollback": Row(What.ROLL_BACK, "completed", form=REASON),
    "POST /cases/{case_id}/erase": Row(What.ERASE_CASE, "completed", form={"sure": "yes", **REASON}),
    "POST /requests/withdraw": Row(What.CANCEL, "case", form={"case_id": "{case_id}", "key": "{key}", **REASON}),
    "POST /requests/nudge": Row(What.REMIND, "case", form={"task_id": "{task_id}", "key": "{key}"}),
    "POST /requests/answer": Row(
        What.ANSWER,
        "asked",
        form={"task_id": "{task_id}", "question": "{question_id}", "text": "PO 4711", "key": "{key}"},
    ),
    "GET /tasks/{task_id}": READS_CASE,
    "GET /tasks/{task_id}/receipt": Row(What.READ_CASE, "decided"),
    "POST /tasks/{task_id}/decide": _of_task(What.DECIDE, verdict="approve", decision_id="{key}", revision="1"),
    "POST /tasks/{task_id}/reveal": _of_task(What.REVEAL, field="payee_account", reason="A test", keeps=True),
    "POST /tasks/{task_id}/act act=claim": _of_task(What.DECIDE),
    "POST /tasks/{task_id}/act act=delegate": _of_task(What.DECIDE, to="manager-2"),
    "POST /tasks/{task_id}/act act=ask": _of_task(What.DECIDE, to="requester-1", text="Which order?"),
    "POST /tasks/{task_id}/act act=release": _of_task(What.RELEASE, "claimed"),
    "POST /tasks/{task_id}/act act=withdraw": _of_task(What.WITHDRAW_DECISION, "decided"),
    "POST /tasks/{task_id}/act act=reassign": _of_task(What.REASSIGN, to="manager-2"),
    "POST /tasks/{task_id}/act act=answer": _of_task(What.ANSWER, "asked", question="{question_id}", text="PO 4711"),
    "POST /tasks/{task_id}/act act=withdraw_question": _of_task(
        What.WITHDRAW_QUESTION, "asked", question="{question_id}"
    ),
    "POST /tasks/{task_id}/act act=set_clock": _of_task(
        What.DEADLINES, due="2033-01-01T10:00", ends="2033-02-01T10:00", text="A test"
    ),
    "POST /tasks/{task_id}/act act=follow_up": _of_task(What.READ_CASE, later="1d", keeps=True),
    "POST /tasks/{task_id}/act act=no_follow_up": _of_task(What.READ_CASE, keeps=True),
    "GET /incidents": Row(What.INCIDENTS),
    "GET /incidents/{group}": Row(What.INCIDENTS, "incident"),
    "POST /incidents": Row(
        What.INCIDENTS,
        "incident",
        form={"group": "{group}", "verdict": "roll_back", "decision_id": "{key}", "comment": "A test"},
    ),
    "POST /incidents/{group}": Row(
        What.INCIDENTS,
        "incident",
        form={"verdict": "roll_back", "decision_id": "{key}", "task": "{task_id}", "comment": "A test"},
    ),
    # ----------------------------------------------------------------------------------------------------------- files
    "GET /upload": Row(What.START),
    "POST /upload": Row(What.START, form={"process": "payment"}, files=SHEET),
    "GET /upload/example/{process}": Row(What.REQUEST_TYPE, "process"),
    "GET /upload/{sha256}": Row(What.START, "own_file", query={"process": "{process}"}),
    "POST /upload/{sha256}": Row(What.START, "own_file", form={"process": "{process}"}),
    "GET /batches/{batch_id}": READS_BATCH,
    "GET /batches/{batch_id}/events": READS_BATCH,
    "GET /batches/{batch_id}/bad-rows.csv": READS_BATCH,
    "POST /batches/{batch_id}/pause": Row(What.ORDER_BATCH, "batch", form=REASON, refused=409),
    "POST /batches/{batch_id}/resume": Row(What.ORDER_BATCH, "batch", form=REASON, refused=409),
    "POST /batches/{batch_id}/cancel": Row(What.ORDER_BATCH, "batch", form=REASON, refused=409),
    "POST /batches/{batch_id}/erase": Row(What.ERASE_UPLOAD, "ended_batch", form={"sure": "yes", **REASON}),
    "GET /mappings": Row(What.MAPPINGS),
    # ------------------------------------------------------------------------------------------------ what others wrote
    "GET /audit": OVERSEES,
    "GET /audit/check": OVERSEES,
    "POST /audit/check": OVERSEES,
    "GET /audit/pack": Row(What.OVERSEE, "case", query={"case_id": "{case_id}"}),
    "GET /ledger": OVERSEES,
    "POST /ledger/open": Row(What.CHANGE_LEDGER, form={"account": "{key}", **ASKS_IN_LEDGER}),
    "POST /ledger/fund": Row(What.CHANGE_LEDGER, form={"account": "operating", **ASKS_IN_LEDGER}),
    "POST /ledger/changes/{change_id}/confirm": Row(What.CHANGE_LEDGER, "change"),
    "POST /ledger/changes/{change_id}/withdraw": Row(What.CHANGE_LEDGER, "change"),
    "GET /legal-holds": Row(What.HOLDS),
    "POST /legal-holds": Row(What.HOLDS, "case", form={"kind": "case", "subject": "{case_id}", **REASON}, keeps=True),
    "POST /legal-holds/{hold_id}/lift": Row(What.HOLDS, "hold", form=REASON),
    "GET /policy": READS_POLICY,
    "GET /policy/text": READS_POLICY,
    "GET /policy/explain": READS_POLICY,
    "POST /policy/explain": Row(What.READ_POLICY, form={"process": "payment", **PAYMENT}),
    "GET /policy/{hash}": Row(What.READ_POLICY, "policy"),
    # ---------------------------------------------------------------------------------------------------------- people
    "GET /people": Row(What.READ_PEOPLE),
    "POST /people": Row(What.CHANGE_PEOPLE, form={"id": "{key}", "name": "New"}),
    "GET /groups": Row(What.READ_PEOPLE),
    "GET /people/{person_id}": Row(What.READ_PEOPLE, "person"),
    "POST /people/{person_id}/email": Row(What.CHANGE_PEOPLE, "person", form={"value": "{person_id}@example.org"}),
    "POST /people/{person_id}/manager": Row(What.CHANGE_PEOPLE, "person", form={"value": "manager-1"}, keeps=True),
    "POST /people/{person_id}/zone": Row(What.CHANGE_PEOPLE, "person", form={"value": "Europe/London"}, keeps=True),
    "POST /people/{person_id}/join": Row(What.CHANGE_PEOPLE, "person", form={"value": "kept"}, keeps=True),
    "POST /people/{person_id}/leave": Row(What.CHANGE_PEOPLE, "person", form={"value": "kept"}),
    "POST /people/{person_id}/away": Row(What.CHANGE_PEOPLE, "person", form=AWAY, keeps=True),
    "POST /people/{person_id}/back": KEEPS_PERSON,
    "POST /people/{person_id}/replace": Row(What.CHANGE_PEOPLE, "person", form={"value": "admin-2", **REASON}),
    "POST /people/{person_id}/deactivate": Row(What.CHANGE_PEOPLE, "person", form=REASON),
    "POST /people/{person_id}/reactivate": Row(What.CHANGE_PEOPLE, "left", form={"value": ""}),
    "POST /people/{person_id}/revoke": Row(What.CHANGE_PEOPLE, "person", form={"value": "{token_id}"}),
    "POST /people/{person_id}/revoke-all": CHANGES_PERSON,
    "POST /people/{person_id}/remove-passkey": Row(What.CHANGE_PEOPLE, "person", form={"value": "{passkey_id}"}),
    "POST /people/{person_id}/disconnect": Row(What.CHANGE_PEOPLE, "identity", form={"value": "{identity_id}"}),
    "POST /people/{person_id}/link": CHANGES_PERSON,
    "POST /people/{person_id}/confirm-link": Row(What.CHANGE_PEOPLE, "link", form={"value": "{link_id}"}),
    "POST /people/{person_id}/withdraw-link": Row(What.CHANGE_PEOPLE, "link", form={"value": "{link_id}"}),
    "POST /people/{person_id}/unlock": KEEPS_PERSON,
    "POST /people/{person_id}/sign-out": KEEPS_PERSON,
    "POST /people/{person_id}/erase": Row(What.ERASE_PERSON, "left", form={"sure": "yes", **REASON}),
    "GET /service-accounts": OWN,
    "POST /service-accounts": Row(
        What.CHANGE_PEOPLE, form={"id": "{key}", "name": "A bot", "owners": "admin-2", "scopes": "cases:read"}
    ),
    "GET /service-accounts/{account_id}": Row(What.READ_PEOPLE, "service"),
    "POST /service-accounts/{account_id}/owners": Row(What.CHANGE_PEOPLE, "service", form={"value": "admin-2"}),
    "POST /service-accounts/{account_id}/token": Row(What.CHANGE_PEOPLE, "service", form={"value": "A test"}),
    "POST /service-accounts/{account_id}/revoke": Row(What.CHANGE_PEOPLE, "service", form={"value": "{token_id}"}),
    "POST /service-accounts/{account_id}/deactivate": Row(What.CHANGE_PEOPLE, "service"),
    "POST /service-accounts/{account_id}/reactivate": Row(What.CHANGE_PEOPLE, "deactivated_service"),
}


def places_of_pages(app: FastAPI) -> Iterator[str]:
    """Yield the name of each page, and of each action of a page: of each value that `act` may have."""
    for context in iter_route_contexts(app.routes):
        route, path = context.original_route, str(context.path)
        if not isinstance(route, APIRoute) or context.include_in_schema or path.startswith("/api/"):
            continue
        methods = sorted(set(context.methods or ()) - {"HEAD"})  # test_disguises.py asks with HEAD, too
        in_path, in_form = _acts(route.dependant)
        for method in methods:
            if in_path:
                yield from (f"{method} {path.replace('{act}', act)}" for act in in_path)
            elif in_form:
                yield from (f"{method} {path} act={act}" for act in in_form)
            else:
                yield f"{method} {path}"


def _acts(dependant: Dependant) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the values of a parameter `act` of the address, and of a field `act` of the form."""

    def of(fields: list[object]) -> tuple[str, ...]:
        named = [each.field_info.annotation for each in fields if each.alias == "act"]  # type: ignore[attr-defined]
        return next((get_args(each) for each in named if get_origin(each) is Literal), ())

    return of([*dependant.path_params]), of([*dependant.body_params])
