"""The route of the demo directory, in which cases of the process `onboarding` create accounts."""

from typing import Annotated

from fastapi import APIRouter, Path

from api.deps import Plain, TheServices
from api.http.problems import documented, not_found
from api.http.security import DirectoryReader
from store.receivers.accounts import Account, UnknownAccount

router = APIRouter(prefix="/directory", tags=["directory"])


@router.get("/accounts/{username}", responses=documented(401, 404, 422, 503))
async def directory_account(
    username: Annotated[Plain, Path(max_length=64, examples=["ada.lovelace"])],
    _person: DirectoryReader,
    services: TheServices,
) -> Account:
    """Return an account with all its present and past grants.

    An account that is neither `active` nor disabled is only reserved.
    """
    try:
        return await services.directory.account(username)
    except UnknownAccount as no:
        raise not_found("account") from no
