"""Routes for published datasets."""

from typing import Annotated, Any

from fastapi import APIRouter, Path

from api.deps import Cursor, Limit, Plain, TheServices
from api.http.problems import Problem, documented, not_found
from api.http.schemas import Page, checked_cursor
from api.http.security import DataReader
from store.db import cursor as cursors
from store.receivers.datasets import DatasetView

router = APIRouter(prefix="/datasets", tags=["datasets"])


class DatasetPage(DatasetView):
    """A published dataset with some of its rows, in the order of the file."""

    items: list[dict[str, Any]]
    next_cursor: str | None


@router.get("", responses=documented(401, 404, 503))
async def list_datasets(_person: DataReader, services: TheServices) -> Page[DatasetView]:
    """List the published datasets."""
    return Page(items=await services.datasets.views(), next_cursor=None)


@router.get("/{name}", responses=documented(401, 404, 409, 422, 503))
async def dataset(
    name: Annotated[Plain, Path(max_length=120, examples=["customers"])],
    _person: DataReader,
    services: TheServices,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> DatasetPage:
    """Return the version of a dataset that is in force: its origin, its profile and its rows.

    The answer is 409 if another version was published after you read the last page: start again from the first page.
    """
    view = await services.datasets.view(name)
    if view is None:
        raise not_found("dataset")
    with checked_cursor():
        version, after = cursors.decode(cursor, int, int) if cursor else (view.version, 0)
    if version != view.version:
        said = f"Version {view.version} was published while you read. Read again from the first page, without a cursor."
        raise Problem(409, said, kind="another-version", version=view.version)
    found = await services.datasets.rows(name, version, after=after, limit=limit + 1)
    page = found[:limit]
    more = cursors.encode(version, page[-1][0]) if len(found) > limit else None
    return DatasetPage(**view.model_dump(), items=[row for _, row in page], next_cursor=more)
