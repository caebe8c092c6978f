"""Where Vigie keeps what it fetched and what it must remember, per user.

``VIGIE_CACHE_DIR`` and ``VIGIE_STATE_DIR`` override the platform's own folders.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """The folder of what can be fetched again (jars, class data); not created here."""
    override = os.environ.get("VIGIE_CACHE_DIR")
    return Path(override) if override else platformdirs.user_cache_path("vigie")


def state_folder() -> Path:
    """The folder of what only this machine knows (the running broker); not created here."""
    override = os.environ.get("VIGIE_STATE_DIR")
    return Path(override) if override else platformdirs.user_state_path("vigie")
