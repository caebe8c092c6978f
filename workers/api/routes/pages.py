"""The page, for people; the same address is JSON for programs.

The page itself holds no data: a browser that is not logged in gets it too, and asks for a token.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response

from workers.api.auth import Principal, Scope, require
from workers.api.problems import RESPONSES, ProblemError
from workers.api.routes.fleet_map import map_view, trail_view
from workers.api.routes.incidents import incident_view, list_view
from workers.api.routes.sensors import account_view, document, fleet_view, sensor_view
from workers.api.static_files import StaticFile, static_file
from workers.gateway.store.incidents import IncidentQuery

router = APIRouter(tags=["pages"], responses=RESPONSES, include_in_schema=False)

Accept = Annotated[str, Header(max_length=4096)]
IfNoneMatch = Annotated[str, Header(max_length=4096)]
_MOST_LISTED = 100


@router.get("/")
def fleet(request: Request, accept: Accept = "") -> Response:
    """All sensors by time."""
    return _page_or_json(request, accept, lambda who: fleet_view(request, who))


@router.get("/incidents")
def incident_list(request: Request, accept: Accept = "") -> Response:
    """Incidents, the newest first; `/v1/incidents` has filters and more pages."""

    def view(principal: Principal) -> dict[str, Any]:
        query = IncidentQuery(tenant=principal.tenant or None, limit=_MOST_LISTED + 1)
        return list_view(request, query, _MOST_LISTED).model_dump(mode="json")

    return _page_or_json(request, accept, view)


@router.get("/incidents/{incident_id}")
def incident(request: Request, incident_id: UUID, accept: Accept = "") -> Response:
    """One incident."""

    def view(principal: Principal) -> dict[str, Any]:
        return incident_view(request, incident_id, principal).model_dump(mode="json")

    return _page_or_json(request, accept, view)


@router.get("/sensors/{sensor_id:path}")
def sensor(request: Request, sensor_id: str, accept: Accept = "") -> Response:
    """One sensor."""
    return _page_or_json(request, accept, lambda who: sensor_view(request, who, sensor_id))


@router.get("/map")
def fleet_map(request: Request, accept: Accept = "") -> Response:
    """All sensors by their state."""
    return _page_or_json(request, accept, lambda who: map_view(request, who))


@router.get("/map/{sensor_id:path}")
def trail(request: Request, sensor_id: str, accept: Accept = "") -> Response:
    """The map with the way of one sensor."""
    return _page_or_json(request, accept, lambda who: trail_view(request, who, sensor_id))


@router.get("/account")
def account(request: Request, accept: Accept = "") -> Response:
    """The alarm budget, and where every reading went."""
    return _page_or_json(request, accept, lambda who: account_view(request, who))


@router.get("/static/{name:path}")
async def static(name: str, if_none_match: IfNoneMatch = "") -> Response:
    """A file of the page."""
    return _sent(static_file(name), if_none_match)


@router.get("/favicon.ico")
async def icon(if_none_match: IfNoneMatch = "") -> Response:
    """What a browser asks for by itself."""
    return _sent(static_file("icon.svg"), if_none_match)


def _page_or_json(
    request: Request, accept: str, view: Callable[[Principal], dict[str, Any]]
) -> Response:
    if "text/html" not in accept.lower():
        return document(view(require(request, Scope.READ)))
    page = static_file("index.html")
    assert page is not None
    return Response(page.content, media_type=page.media_type, headers={"Vary": "Accept"})


def _sent(found: StaticFile | None, if_none_match: str) -> Response:
    """A file, or that the browser has it already; it asks again each time, as versions change."""
    if found is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "There is no such file.")
    headers = {"ETag": found.etag, "Cache-Control": "no-cache"}
    if found.etag in {tag.strip() for tag in if_none_match.split(",")}:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)
