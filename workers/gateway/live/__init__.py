"""Readings and scores as they come, for the page: memory (`live`) and what fills it (`feed`)."""

from workers.gateway.live.live import STEPS, LiveFeed
from workers.gateway.live.summary import Following, LiveSensor

__all__ = ["STEPS", "Following", "LiveFeed", "LiveSensor"]
