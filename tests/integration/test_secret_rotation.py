"""A password that is changed under way: `vigie run` goes on with the new one, and nothing twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from detector.artifact import save
from tests.support.broker import produce, topic_maker
from tests.support.models import encoded, reading_records, small_detector
from tests.support.runs import metrics_address, status, vigie_run
from tests.support.secure_broker import SecureBroker, secure_broker
from tests.support.streams import make_settings, scored_readings
from tests.support.wait import wait_until
from workers.kafka.rights import Role, rights_of

pytestmark = [pytest.mark.kafka, pytest.mark.ray, pytest.mark.slow]

SENSORS = ["pump-1", "pump-2", "pump-3"]
WARM_UP = 7
USER, OLD, NEW = "runner", "old-password-of-runner", "new-password-of-runner"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    with secure_broker(tmp_path_factory.mktemp("secure")) as found:
        found.add_user(USER, OLD)
        yield found


@pytest.mark.timeout(500)
def test_a_new_password_reaches_each_worker_in_turn_and_every_reading_is_scored_once(
    broker: SecureBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save(small_detector(), tmp_path / "model")
    password = tmp_path / "password"
    password.write_text(f"{OLD}\n")
    options = {k: v for k, v in broker.scram(USER, OLD).options.items() if "password" not in k}
    for key, value in options.items():
        monkeypatch.setenv(f"VIGIE_KAFKA__CLIENT__{key.upper()}", str(value))
    monkeypatch.setenv("VIGIE_KAFKA__CLIENT__SASL_PLAIN_PASSWORD_FILE", str(password))
    with topic_maker(broker.admin) as make_topic:
        settings = make_settings(broker.admin, make_topic, "rotating")
        broker.allow(f"User:{USER}", rights_of(Role.RUN, settings))
        records = encoded(reading_records(SENSORS, 200))
        half = len(records) // 2
        produce(broker.admin, settings.topics.readings, records[:half])
        secure = settings.model_copy(
            update={
                "kafka": settings.kafka.model_copy(
                    update={"bootstrap": broker.scram(USER, OLD).bootstrap}
                )
            }
        )
        with vigie_run(secure, model, tmp_path, "--ingest", "2") as (_, log):
            address = metrics_address(log)
            wait_until(
                lambda: status(address)["counts"]["records"] == half, within=180, what="half of it"
            )
            broker.add_user(USER, NEW)
            password.write_text(f"{NEW}\n")
            wait_until(
                lambda: log.read_text().count("worker_started") >= 4,
                within=180,
                what="both workers exchanged",
            )
            produce(broker.admin, settings.topics.readings, records[half:])
            wait_until(
                lambda: status(address)["counts"]["records"] == len(records),
                within=180,
                what="all of it",
            )
        said = log.read_text()
        assert f"new secrets in {password}" in said
        assert OLD not in said
        assert NEW not in said
        scored = scored_readings(broker.admin, settings)
        assert len(scored) == len(SENSORS) * (200 - WARM_UP)
