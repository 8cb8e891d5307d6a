"""Datasets as they are published."""

from typing import Annotated, Any

from fastapi import APIRouter, Path

from api.deps import Cursor, InHouse, Limit, Plain
from api.problems import documented, not_found
from api.security import DataReader
from api.views import Page, number_of, page_by_number
from store.datasets import DatasetView

router = APIRouter(prefix="/datasets", tags=["datasets"])


class DatasetPage(DatasetView):
    """A published dataset with some of its rows, in the order of the file."""

    items: list[dict[str, Any]]
    next_cursor: str | None


@router.get("", responses=documented(401, 404, 503))
async def list_datasets(_person: DataReader, parts: InHouse) -> Page[DatasetView]:
    """All that is published."""
    return Page(items=await parts.datasets.views(), next_cursor=None)


@router.get("/{name}", responses=documented(401, 404, 422, 503))
async def dataset(
    name: Annotated[Plain, Path(max_length=120, examples=["customers"])],
    _person: DataReader,
    parts: InHouse,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> DatasetPage:
    """The version in force: where it came from, what it is like, and its rows."""
    view = await parts.datasets.view(name)
    if view is None:
        raise not_found("dataset")
    found = await parts.datasets.rows(name, view.version, after=number_of(cursor), limit=limit + 1)
    page, more = page_by_number(found, limit, lambda numbered: numbered[0])
    return DatasetPage(**view.model_dump(), items=[row for _, row in page], next_cursor=more)
