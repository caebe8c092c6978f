"""kafka-python logs each attempt to reach a broker that is away, at ERROR, several times a second.

We say once what matters (`admin.probe`, `outage`), so its loggers stay silent unless given a
level: ``logging.getLogger("kafka").setLevel(logging.INFO)``.
"""

from __future__ import annotations

import logging

__all__ = ["quiet_client_logs"]


def quiet_client_logs() -> None:
    """Silence kafka-python's loggers in this process, unless their level is set."""
    logger = logging.getLogger("kafka")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.CRITICAL + 1)
