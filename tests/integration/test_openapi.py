"""The interface keeps what its description says, whatever it is sent.

Requests are made up from the description, right and wrong ones, for every route there is. Streams
that never end are left out. Not every request that fits the description has to be accepted: it does
not say which cursors there are, nor which two fields do not go together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.support.api import BASE_URL, Api, served
from workers.api.auth import Scope

pytestmark = pytest.mark.timeout(120)
STREAMS = r"^/v1/(stream|live)"
EXAMPLES = 10
LEAST_OPERATIONS = 38
OPEN = {"get /healthz", "get /readyz", "post /session"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with served(tmp_path_factory.mktemp("openapi"), rate_limit="1000000/minute") as api:
        yield api


@pytest.fixture(scope="module")
def operations(api: Api) -> list[Any]:
    app = api.client.app
    description = schemathesis.openapi.from_dict(app.openapi())  # type: ignore[attr-defined]
    description.app = app
    description.config.update(base_url=BASE_URL)
    found = description.exclude(path_regex=STREAMS).get_all_operations()
    return [operation.ok() for operation in found]


def test_every_answer_is_one_that_the_description_knows(api: Api, operations: list[Any]) -> None:
    token = api.bearer(Scope.ADMIN)
    wrong: dict[str, str] = {}
    for operation in operations:

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
            derandomize=True,
            database=None,
        )
        @given(operation.as_strategy())
        def is_kept(case: Any) -> None:
            case.call_and_validate(headers=token, excluded_checks=[positive_data_acceptance])

        try:
            is_kept()
        except (FailureGroup, Exception) as error:  # noqa: BLE001 - all are tried, and told
            wrong[operation.label] = str(error)
    assert not wrong, "\n\n".join(f"{label}: {told}" for label, told in wrong.items())
    assert len(operations) >= LEAST_OPERATIONS


def test_the_description_says_what_everything_is(api: Api) -> None:
    told = api.client.app.openapi()  # type: ignore[attr-defined]
    tags = {tag["name"] for tag in told["tags"]}
    for path, operations in told["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["description"], where
            assert set(operation["tags"]) <= tags, where
            assert "default" in operation["responses"], where
            assert ("security" in operation) is (where not in OPEN), where
    untold = [
        f"{name}.{field}"
        for name, schema in told["components"]["schemas"].items()
        for field, property_ in schema.get("properties", {}).items()
        if not property_.get("description")
    ]
    assert not untold
