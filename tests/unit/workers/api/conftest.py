"""The interface, with everybody an administrator, and what takes incidents in behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import Api, served
from tests.support.gateway import Rig


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with served(tmp_path, open_access=True) as found:
        yield found


@pytest.fixture
def rig(api: Api) -> Rig:
    """Takes incidents in by the parts of the gateway itself."""
    rig = Rig(api.gateway.database, api.gateway.settings)
    rig.sealer, rig.book, rig.outbox = api.gateway.sealer, api.gateway.book, api.gateway.outbox
    rig.clock.now_ns = api.clock.now_ns
    return rig
