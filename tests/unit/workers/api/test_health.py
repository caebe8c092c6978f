"""`/healthz`, `/readyz`, `/metrics`: whether the gateway lives and does its work."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, text

from tests.support.api import START_NS, Api, served
from tests.support.gateway_health import fill, metrics_of, taking_in
from workers.api.auth import Scope
from workers.api.gateway_metrics import GatewayCollector

PROMTOOL = shutil.which("promtool")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with served(tmp_path) as api:
        yield api


def test_a_gateway_whose_database_answers_is_ready(api: Api) -> None:
    taking_in(api)
    answer = api.client.get("/readyz")
    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "ready", "checks": {"database": "ok", "schema": "ok", "intake": "ok"}},
    )


@pytest.mark.parametrize("stuck", [{"alive": False}, {"error": "offset 7 is s3cret"}])
def test_a_gateway_that_takes_nothing_in_is_not_ready(api: Api, stuck: dict[str, Any]) -> None:
    taking_in(api, **stuck)
    answer = api.client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["intake"]) == (503, "failing")
    assert "s3cret" not in answer.text
    assert api.client.get("/healthz").status_code == 200


def test_a_database_of_another_version_is_not_ready(api: Api) -> None:
    with api.gateway.database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'later'"))
    answer = api.client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["schema"]) == (503, "failing")


def test_without_its_database_the_process_lives_and_is_not_ready(api: Api, tmp_path: Path) -> None:
    header = api.bearer(Scope.READ)
    api.gateway.database.engine.dispose()
    for path in tmp_path.iterdir():
        path.unlink()
    (tmp_path / "vigie.db").mkdir()
    assert api.client.get("/readyz").json()["checks"] == {"database": "failing"}
    assert api.client.get("/healthz", headers=header).status_code == 200
    answer = api.client.get("/metrics", headers=header)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


# -- metrics ---------------------------------------------------------------------------------------


def sampled(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_say_how_much_there_is_of_everything(api: Api) -> None:
    fill(api)
    taking_in(api, lag=7)
    api.gateway.state.dispatcher = SimpleNamespace(counts={"delivered": 5, "retry": 2})  # type: ignore[assignment]
    found = sampled(metrics_of(api))
    gateway = "vigie_gateway_"
    expected = {
        ("deliveries", "waiting"): 2,
        ("deliveries", "muted"): 1,
        ("deliveries", "grouped"): 0,
        ("deliveries", "delivered"): 2,
        ("deliveries", "dead"): 1,
        ("delivery_last_dead_timestamp_seconds",): START_NS / 1e9 - 900,
        ("delivery_overdue_seconds",): 30,
        ("delivery_oldest_waiting_seconds",): 120,
        ("incidents_open", "false", "high"): 1,
        ("incidents_open", "false", "low"): 1,
        ("incidents_open", "false", "medium"): 0,
        ("incidents_open", "true", "high"): 1,
        ("subscriptions", "true"): 1,
        ("delivery_attempts_total", "delivered"): 5,
        ("delivery_attempts_total", "retry"): 2,
        ("intake_lag_records",): 7,
        ("streams",): 0,
        ("intake",): 1,
        ("intake_records_total",): 9,
        ("intake_unreadable_total",): 1,
        ("intake_lost_total",): 0,
        ("delivery_attempts_total", "rejected"): 0,
    }
    assert {key: found.get((gateway + key[0], *key[1:])) for key in expected} == expected


def test_what_is_over_is_counted_once_a_minute(api: Api) -> None:
    fill(api)
    statements: list[str] = []
    event.listen(
        api.gateway.database.engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, *_: statements.append(statement),
    )
    now = [0.0]
    collector = GatewayCollector(
        api.gateway.database, dict, clock=api.clock, monotonic=lambda: now[0]
    )
    whole = []
    for second in (0.0, 30.0, 59.0, 60.0):
        now[0] = second
        statements.clear()
        assert len(list(collector.collect())) > 3
        whole.append(sum("GROUP BY deliveries.state" in one for one in statements))
    assert whole == [1, 0, 0, 1]


def test_each_query_of_every_scrape_goes_by_an_index(api: Api) -> None:
    fill(api)
    statements: list[tuple[str, Any]] = []
    engine = api.gateway.database.engine

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            statements.append((statement, parameters))

    collector = GatewayCollector(api.gateway.database, dict, clock=api.clock)
    list(collector.collect())
    event.listen(engine, "before_cursor_execute", note)
    list(collector.collect())
    assert len(statements) > 5
    with engine.connect() as connection:
        for statement, parameters in statements:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            steps = " ".join(row[3] for row in plan)
            is_quick = re.match(
                r"SEARCH incidents|\w+ deliveries USING .*INDEX ix_deliveries_(due|muted)", steps
            )
            assert is_quick or "FROM subscriptions" in statement, (statement, steps)


@pytest.mark.skipif(PROMTOOL is None, reason="promtool (Debian: prometheus) is not installed")
def test_prometheus_has_nothing_to_complain_of(api: Api) -> None:
    fill(api)
    taking_in(api, lag=7)
    api.gateway.state.dispatcher = SimpleNamespace(counts={"delivered": 5})  # type: ignore[assignment]
    checked = subprocess.run(
        [str(PROMTOOL), "check", "metrics"],
        input=metrics_of(api), text=True, capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
