"""The API docs, from our own files: they work offline."""

from fastapi import Request, Response

from api.pages.parts.page import pages, templates

router = pages()


@router.api_route("/docs", methods=["GET", "HEAD"])
async def docs(request: Request) -> Response:
    """Every route, to be tried."""
    return templates.TemplateResponse(request, "docs.html")
