"""The previous release, installed once a run of the tests."""

from __future__ import annotations

import pytest

from tests.upgrade.previous import Environment, NotHereError, build, previous_commit


@pytest.fixture(scope="session")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the previous release; skips where the clone lacks its commit."""
    try:
        return build(previous_commit(), tmp_path_factory.mktemp("previous"))
    except NotHereError as reason:
        pytest.skip(str(reason))
