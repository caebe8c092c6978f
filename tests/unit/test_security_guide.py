"""What docs/guide-security.md shows to copy is taken by the program; what it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schemas.settings import load_settings
from tests.support.certificates import Authority
from workers.kafka.factory import connection_of
from workers.kafka.kafka_python.options import consumer_options
from workers.kafka.rights import Operation, Role, rights_of

PAGE = (Path(__file__).parents[2] / "docs" / "guide-security.md").read_text(encoding="utf-8")
WAYS = re.findall(r"```toml\n(.*?)```\n(?:```console\n(.*?)```)?", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def run_secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What lies in /run/secrets."""
    folder = tmp_path_factory.mktemp("secrets")
    authority = Authority(folder, "kafka-ca")
    Authority(folder, "login-ca")
    authority.sign("vigie", "localhost")
    for name in ("kafka-password", "oauth-secret", "database-url", "key", "registry", "smtp"):
        (folder / name).write_text("a-secret\n")
    return folder


def exported(text: str, folder: Path) -> dict[str, str]:
    found = re.findall(r"export (VIGIE_\w+)=(\S+)", text)
    return {name: value.replace("/run/secrets", str(folder)) for name, value in found}


@pytest.mark.parametrize(("settings", "exports"), WAYS)
def test_every_way_in_is_one_that_the_client_takes(
    settings: str, exports: str, run_secrets: Path, tmp_path: Path
) -> None:
    path = tmp_path / "vigie.toml"
    path.write_text(settings.replace("/run/secrets", str(run_secrets)))
    loaded = load_settings(path, environ=exported(exports, run_secrets))
    options = consumer_options(connection_of(loaded.kafka))
    assert options["security_protocol"] in {"SSL", "SASL_SSL"}


def test_there_are_four_ways_in() -> None:
    assert len(WAYS) == 4


def test_every_variable_of_a_file_gives_a_setting(run_secrets: Path) -> None:
    _, _, rest = PAGE.partition("## Secrets in files")
    variables = exported(rest, run_secrets)
    assert len(variables) == 4
    assert load_settings(environ=variables) != load_settings(environ={})


def test_the_table_of_rights_is_that_of_the_program() -> None:
    section = PAGE.partition("## Rights (ACLs)")[2].partition("## Secrets")[0]
    rows = re.findall(r"^\| `(\w+)`[^|]*\|([^|]*)\|([^|]*)\|", section, re.MULTILINE)
    assert [name for name, _, _ in rows] == [role.value for role in Role]
    settings = load_settings(environ={})
    names = {getattr(settings.topics, key): key.replace("_", " ") for key in _TOPICS}
    for name, *columns in rows:
        if name == "repartition":
            continue  # its topics have no names by default
        for operation, column in zip((Operation.READ, Operation.WRITE), columns, strict=True):
            shown = {word.strip() for word in column.split(",") if word.strip()}
            rights = rights_of(Role(name), settings)
            held = {names[r.name] for r in rights if r.operation is operation and r.name in names}
            assert shown == held, name


_TOPICS = (
    "readings",
    "anomalies",
    "denoised",
    "dead_letters",
    "sensor_state",
    "incidents",
    "verdicts",
)
