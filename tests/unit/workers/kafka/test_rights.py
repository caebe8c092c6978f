"""The rights of each role, and the forms in which they are printed."""

from __future__ import annotations

import json
import shlex

import pytest
from typer.testing import CliRunner

from schemas.settings import Settings
from workers.cli.main import build_app
from workers.kafka.factory import member_of, topic_specs
from workers.kafka.rights import ROLES, Operation, Resource, Role, rights_of


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(build_app(), ["topics", "acls", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no settings file lies."""
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))


def test_every_role_is_explained_and_has_rights() -> None:
    assert set(ROLES) == set(Role)
    assert all(rights_of(role, Settings()) for role in Role)


def test_the_rights_follow_the_names_of_the_settings() -> None:
    settings = Settings.model_validate(
        {"kafka": {"group": "plant", "instance": "b"}, "topics": {"readings": "raw"}}
    )
    rights = rights_of(Role.RUN, settings)
    topics = {right.name for right in rights if right.resource is Resource.TOPIC}
    assert topics == {spec.name for spec in topic_specs(settings.topics)}
    assert "raw" in topics
    (transactions,) = (r for r in rights if r.resource is Resource.TRANSACTIONAL_ID)
    assert transactions.is_prefix
    assert member_of(settings.kafka, 12).startswith(transactions.name)


def test_a_gateway_that_follows_no_readings_may_not_read_the_outputs() -> None:
    silent = Settings.model_validate({"gateway": {"live": "off"}})
    names = {right.name for right in rights_of(Role.GATEWAY, silent)}
    assert not {silent.topics.denoised, silent.topics.anomalies} & names


def test_nobody_but_the_setup_may_create_and_only_the_run_writes_its_outputs() -> None:
    settings = Settings()
    holders = {
        (right.operation, right.name): role for role in Role for right in rights_of(role, settings)
    }
    creators = {role for (op, _), role in holders.items() if op is Operation.CREATE}
    assert creators == {Role.SETUP}
    assert holders[Operation.WRITE, settings.topics.incidents] is Role.RUN


def test_the_lines_for_kafkas_own_tool_name_principal_operation_and_resource() -> None:
    lines = printed("--role", "run", "--format", "commands", "--principal", "User:CN=a b")
    words = [shlex.split(line) for line in lines.splitlines() if not line.startswith("#")]
    assert len(words) == len(rights_of(Role.RUN, Settings()))
    prefixed = next(line for line in words if "--transactional-id" in line)
    assert prefixed == [
        *("kafka-acls.sh", "$ADMIN", "--add", "--allow-principal", "User:CN=a b"),
        *("--operation", "Write", "--transactional-id", "vigie.main."),
        *("--resource-pattern-type", "prefixed"),
    ]


def test_strimzi_gets_one_entry_a_resource_with_all_its_operations() -> None:
    document = json.loads(printed("--role", "run", "--format", "strimzi"))
    acls = document["User:vigie-run"]
    state = [acl for acl in acls if acl["resource"]["name"] == "vigie.sensor-state"]
    assert [acl["operations"] for acl in state] == [["Alter", "Read", "Write"]]


def test_the_table_lists_every_role() -> None:
    table = printed()
    assert {line.split()[0] for line in table.splitlines()[1:]} == {role.value for role in Role}
