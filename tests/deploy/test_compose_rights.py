"""What the services of docker-compose.yml may do, and where their secrets are."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.compose_file import read_compose, texts
from workers.gateway.store.tokens import given_id

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "compose"
WRITES_ITS_ROOT = {"kafka"}
"""Its image writes the configuration beside its programs."""
SECRET_NAME = re.compile(r"password|secret|token|key", re.IGNORECASE)

Document = dict[str, Any]


@pytest.fixture
def document() -> Document:
    return read_compose(ROOT / "docker-compose.yml", {})


@pytest.fixture
def services(document: Document) -> Document:
    services: Document = document["services"]
    return services


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "secrets"
    for _ in range(2):
        subprocess.run([FOLDER / "secrets.sh", folder], check=True, capture_output=True)
    return folder


def too_many_rights(services: Document) -> list[str]:
    wrong = []
    for name, service in services.items():
        if service.get("cap_drop") != ["ALL"] or "cap_add" in service:
            wrong.append(f"{name}: capabilities")
        if service.get("security_opt") != ["no-new-privileges:true"]:
            wrong.append(f"{name}: new privileges")
        if not service["read_only"] and name not in WRITES_ITS_ROOT:
            wrong.append(f"{name}: its root can be written")
        if "memory" not in service["deploy"]["resources"]["limits"]:
            wrong.append(f"{name}: memory without a limit")
        if service.get("privileged") or "docker.sock" in str(service.get("volumes")):
            wrong.append(f"{name}: the host's rights")
    return wrong


def test_no_service_has_more_rights_than_it_needs(services):
    assert too_many_rights(services) == []


@pytest.mark.parametrize(
    "change", [{"cap_drop": []}, {"read_only": False}, {"security_opt": []}, {"privileged": True}]
)
def test_a_right_too_many_would_be_found(services, change):
    broken = copy.deepcopy(services)
    broken["driver"] |= change

    assert len(too_many_rights(broken)) == 1


def secrets_in_plain_text(services: Document) -> list[str]:
    """Variables whose name says secret and that are no path of a secret's file."""
    return [
        f"{name}: {key}"
        for name, service in services.items()
        for key, value in service.get("environment", {}).items()
        if SECRET_NAME.search(key) and not value.startswith("/run/secrets/")
        if key != "RAY_AUTH_MODE"
    ] + [
        f"{name}: an address with a password"
        for name, t in texts(services, ROOT)
        if "://" in t and "@" in t
    ]


def test_no_secret_stands_in_the_file(services):
    assert secrets_in_plain_text(services) == []


@pytest.mark.parametrize(
    "variable",
    [
        {"POSTGRES_PASSWORD": "swordfish"},
        {"VIGIE_GATEWAY__DATABASE": "postgresql://vigie:swordfish@postgres:5432/vigie"},
        {"VIGIE_KAFKA__CLIENT__SASL_PLAIN_PASSWORD": "swordfish"},
    ],
)
def test_a_secret_in_the_environment_would_be_found(services, variable):
    broken = copy.deepcopy(services)
    broken["gateway"]["environment"] |= variable

    assert secrets_in_plain_text(broken)


def test_every_secret_that_is_used_is_made_and_every_one_made_is_used(document, secrets):
    used = {name for s in document["services"].values() for name in s.get("secrets", [])}
    named = {
        value for s in document["services"].values() for value in s.get("environment", {}).values()
    }
    files = {Path(one["file"]).name for one in document["secrets"].values()}

    assert used == set(document["secrets"]) == files == {path.name for path in secrets.iterdir()}
    for value in named:
        if value.startswith("/run/secrets/"):
            assert value.removeprefix("/run/secrets/") in used


def test_a_service_names_the_secrets_that_it_has_and_no_other(services):
    for name, service in services.items():
        named = " ".join(text for of, text in texts(services, ROOT) if of == name)
        has = {f"/run/secrets/{secret}" for secret in service.get("secrets", [])}
        assert has == set(re.findall(r"/run/secrets/[\w-]+", named)), name


def test_the_secrets_are_kept_from_others_and_stay_when_made_again(secrets):
    before = {path.name: path.read_text() for path in secrets.iterdir()}

    told = subprocess.run(
        [FOLDER / "secrets.sh", secrets], check=True, capture_output=True, text=True
    ).stdout

    assert before == {path.name: path.read_text() for path in secrets.iterdir()}
    assert secrets.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in secrets.iterdir()} == {0o644}
    assert f"#token={before['admin-token']}" in told
    assert given_id(before["admin-token"]) != given_id(before["metrics-token"])
    assert before["postgres-password"] in before["gateway-database"]


@pytest.fixture
def own(secrets: Path, tmp_path: Path) -> Path:
    """Secrets that a test may change."""
    return shutil.copytree(secrets, tmp_path / "secrets")


def renew(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    command = [str(FOLDER / "secrets.sh"), "--renew", name, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def seen(folder: Path) -> dict[str, tuple[int, str]]:
    """What containers see: the file that was there when they started, and what is in it."""
    return {path.name: (path.stat().st_ino, path.read_text()) for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["ray-token", "postgres-password", "admin-token", "metrics-token"])
def test_a_renewed_secret_reaches_the_containers_that_run(own, name):
    before = seen(own)

    done = renew(own, name)

    after = seen(own)
    assert done.returncode == 0, done.stderr
    assert after[name][0] == before[name][0], "another file: mounts keep the old one"
    assert [one for one in before if after[one] != before[one]] == [name]
    assert len(after[name][1]) == len(before[name][1])
    assert (own / name).stat().st_mode & 0o777 == 0o644


def test_the_address_of_the_database_takes_its_new_password_when_it_is_told(own):
    """Not before: the gateway goes by it at once, and the database has to know it then."""
    renew(own, "postgres-password")
    before = seen(own)
    password = before["postgres-password"][1]
    assert password not in before["gateway-database"][1]

    renew(own, "gateway-database")

    after = seen(own)
    assert f":{password}@" in after["gateway-database"][1]
    assert after["gateway-database"][0] == before["gateway-database"][0]


@pytest.mark.parametrize("name", ["gateway-key", "grafana-password", "admin", "", "--help"])
def test_what_a_renewal_would_harm_or_not_reach_stays(own, name):
    before = seen(own)

    done = renew(own, name)

    assert done.returncode == 2
    assert done.stderr
    assert seen(own) == before
