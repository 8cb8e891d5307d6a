"""What a token with scopes may be used for: one table from routes to scopes, which every request below /api passes.

A credential without scopes may do what its owner may do. A credential with scopes needs one of the scopes of the route,
and is refused by every route that is not in the table. Whatever the scopes are, the owner must also be allowed to do
the same: a scope gives no rights.
"""

from collections.abc import Mapping

from fastapi import Depends, Request

from api.http.credentials import Credential
from api.http.middleware import API
from api.http.problems import Problem
from domain.token_scopes import TokenScope

ASKS, READS = frozenset({TokenScope.CASES_ASK}), frozenset({TokenScope.CASES_READ})
UPLOADS, AUDITS = frozenset({TokenScope.BATCHES_UPLOAD}), frozenset({TokenScope.AUDIT_READ})
MEASURES = frozenset({TokenScope.METRICS_READ})
FORMS = ASKS | READS | UPLOADS
"""Who asks or uploads must know the input of a process."""
ANY = frozenset(TokenScope)

NEEDED: Mapping[tuple[str, str], frozenset[TokenScope]] = {
    ("GET", "/me"): ANY,
    ("GET", "/audit/keys"): ANY,
    ("GET", "/processes"): FORMS,
    ("GET", "/processes/{name}"): FORMS,
    ("GET", "/processes/{name}/template.csv"): FORMS,
    ("POST", "/cases"): ASKS,
    ("POST", "/cases/{case_id}/cancel"): ASKS,
    ("GET", "/cases"): READS,
    ("GET", "/cases/{case_id}"): READS,
    ("GET", "/cases/{case_id}/timeline"): READS,
    ("GET", "/cases/{case_id}/comments"): READS,
    ("GET", "/cases/{case_id}/attachments"): READS,
    ("GET", "/cases/{case_id}/attachments/{attachment_id}"): READS,
    ("GET", "/tasks"): READS,
    ("GET", "/tasks/{task_id}"): READS,
    ("GET", "/tasks/{task_id}/receipt"): READS,
    ("GET", "/events"): READS,
    ("POST", "/batches"): UPLOADS,
    ("GET", "/batches"): UPLOADS | READS,
    ("GET", "/batches/{batch_id}"): UPLOADS | READS,
    ("GET", "/batches/{batch_id}/events"): UPLOADS | READS,
    ("GET", "/batches/{batch_id}/rows"): UPLOADS | READS,
    ("POST", "/batches/{batch_id}/pause"): UPLOADS,
    ("POST", "/batches/{batch_id}/resume"): UPLOADS,
    ("POST", "/batches/{batch_id}/cancel"): UPLOADS,
    ("GET", "/audit"): AUDITS,
    ("GET", "/audit/checkpoint"): AUDITS,
    ("GET", "/audit/pack"): AUDITS,
    ("GET", "/dashboard"): MEASURES,
    ("GET", "/metrics"): MEASURES,
}
"""By method and path below /api/v1: the scopes one of which a credential with scopes needs."""


async def check_scope(request: Request) -> None:
    """Raise Problem 403 if the credential of the request has scopes, and none of those that the route needs."""
    credential: Credential | None = getattr(request.state, "credential", None)
    if credential is None or credential.scopes is None:
        return
    path: str = request.scope["route"].path
    needed = NEEDED.get((request.method, path.removeprefix(API)), frozenset())
    if needed.isdisjoint(credential.scopes):
        raise _beyond(needed, credential.scopes)


def _beyond(needed: frozenset[TokenScope], has: frozenset[str]) -> Problem:
    scopes = [scope.value for scope in TokenScope if scope in needed]
    said = (
        f"This token does not have the scope {' or '.join(scopes)}. Use a token with this scope."
        if scopes
        else "A token with scopes cannot be used for this. Use a token without scopes, which only people can have."
    )
    return Problem(403, said, kind="scope", needed=scopes, scopes=sorted(has))


IN_SCOPE = Depends(check_scope)
