"""The API docs. Their scripts come from the gateway itself, so that they work offline."""

from fastapi import Request, Response

from api.pages.parts.page import pages, templates

router = pages()


@router.api_route("/docs", methods=["GET", "HEAD"])
async def docs(request: Request) -> Response:
    """Show every route with a form to try it."""
    return templates.TemplateResponse(request, "docs.html")
