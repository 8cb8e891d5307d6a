"""Routes that are prepared once a run: FastAPI prepares all of them for each application, and many tests make one."""

from dataclasses import replace
from typing import Any

import pytest
from fastapi import routing
from starlette.routing import BaseRoute

PREPARES = ("_IncludedRouter", "_build_effective_context")
"""The private class of FastAPI and its method that prepares a route for an application."""


def share(patch: pytest.MonkeyPatch) -> None:
    """Let all applications use the routes that any of them prepared.

    Without the private names of FastAPI, nothing is shared, which only takes longer.
    """
    router, name = getattr(routing, PREPARES[0], None), PREPARES[1]
    prepare = getattr(router, name, None)
    if prepare is None:
        return
    prepared: dict[int, tuple[BaseRoute, list[tuple[Any, Any]]]] = {}

    def prepared_once(self: Any, route: BaseRoute) -> Any:
        # Each application has its own overrides of dependencies. No test uses them.
        included = replace(self.include_context, dependency_overrides_provider=None)
        _, of_route = prepared.setdefault(id(route), (route, []))
        for context, made in of_route:
            if context == included:
                return made
        made = prepare(self, route)
        of_route.append((included, made))
        return made

    patch.setattr(router, name, prepared_once)
