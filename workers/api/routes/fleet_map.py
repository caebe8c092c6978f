"""Sensors by the state that they are in: places on the model's map, and the way of one."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from schemas.api.base import ShortText
from workers.api.auth import Principal, Reader
from workers.api.problems import RESPONSES, ProblemError
from workers.api.routes.sensors import (
    UNKNOWN,
    document,
    epoch_of,
    following_of,
    live_of,
    sees,
)

__all__ = ["map_view", "router", "trail_view"]

router = APIRouter(tags=["sensors"], responses=RESPONSES)


@router.get("/v1/map", response_model=dict[str, Any])
def get_map(request: Request, principal: Reader) -> Response:
    """All sensors by their state: where each was last on the model's map of its latent space.

    `latent` are two numbers in standard deviations of the model's calibration block: 0 is the usual
    state, a distance of 3 from it is unusual; null for a model without a map. `normal` are places
    at which these sensors were of late, with a score below the threshold.
    """
    return document(map_view(request, principal))


@router.get("/v1/map/{sensor_id:path}", response_model=dict[str, Any])
def get_trail(request: Request, principal: Reader, sensor_id: ShortText) -> Response:
    """The way of a sensor over the map, oldest place first: at most 64, of the last hour or two."""
    return document(trail_view(request, principal, sensor_id))


def map_view(request: Request, principal: Principal) -> dict[str, Any]:
    """The document of the page `/map`."""
    live = live_of(request)
    found = live.map(sees(request, principal))
    return {
        **found,
        "place": f"{epoch_of(live)}~{found['revision']}",
        "following": following_of(live),
    }


def trail_view(request: Request, principal: Principal, sensor_id: str) -> dict[str, Any]:
    """The document of the page of a sensor's way over the map.

    Raises:
        ProblemError: it is not known (404).
    """
    found = live_of(request).trail(sensor_id)
    if found is None or not sees(request, principal)(found["labels"]):
        raise ProblemError(HTTPStatus.NOT_FOUND, UNKNOWN)
    return found
