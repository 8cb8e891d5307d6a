"""The page with the documentation of the API.

The scripts of the page come from the gateway, so that the page works offline.
"""

from fastapi import Request, Response

from api.pages.parts.page import pages, templates

router = pages()


@router.api_route("/docs", methods=["GET", "HEAD"])
async def docs(request: Request) -> Response:
    """Show every route of the API, each with a form to send a request."""
    return templates.TemplateResponse(request, "docs.html")
