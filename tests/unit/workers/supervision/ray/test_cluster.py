"""What is checked of a cluster before Ray is asked to join it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from workers.errors import ClusterError, SettingsError
from workers.supervision.ray.cluster import Cluster, check_token


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_cluster_is_not_joined_by_what_an_earlier_run_left_in_the_home_folder(
    home: Path,
) -> None:
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("left-over")
    with pytest.raises(SettingsError, match=r"RAY_AUTH_MODE is not set.*RAY_AUTH_TOKEN_PATH"):
        check_token({})


def test_another_mode_than_rays_two_is_rejected(home: Path) -> None:
    with pytest.raises(SettingsError, match="must be token or disabled, got 'tokn'"):
        check_token({"RAY_AUTH_MODE": "tokn"})


def test_a_missing_token_names_the_variables_and_the_file(home: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        check_token({"RAY_AUTH_MODE": "token"})
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", str(home / ".ray" / "auth_token")):
        assert name in str(caught.value)


def test_a_token_file_that_cannot_be_read_is_named(home: Path) -> None:
    environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": "/run/secrets/not-there"}
    with pytest.raises(SettingsError, match="/run/secrets/not-there"):
        check_token(environment)


def test_an_empty_token_file_is_no_token(home: Path) -> None:
    path = home / "token"
    path.write_text("\n")
    with pytest.raises(SettingsError, match=f"{path} is empty"):
        check_token({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(path)})


@pytest.mark.parametrize(
    "environment",
    [
        {"RAY_AUTH_MODE": "disabled"},
        {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "secret"},
        {"RAY_AUTH_MODE": "TOKEN", "RAY_AUTH_TOKEN_PATH": "token"},
    ],
)
def test_a_mode_with_what_it_needs_is_accepted(
    home: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "token").write_text("secret")
    monkeypatch.chdir(home)
    check_token(environment)


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "6379", "head:"])
def test_an_address_that_is_none_says_what_one_looks_like(address: str) -> None:
    with pytest.raises(SettingsError, match=r"must be HOST:PORT.*or auto"):
        Cluster.reach(address)


def test_a_head_that_is_not_there_is_named_in_time(free_port: int) -> None:
    with pytest.raises(ClusterError, match=f"127.0.0.1:{free_port}.*ray start --head"):
        Cluster.reach(f"127.0.0.1:{free_port}", within_s=0.2)


def test_a_host_without_a_name_is_an_answer_too() -> None:
    with pytest.raises(ClusterError, match="no Ray cluster answers"):
        Cluster.reach("head.invalid:6379", within_s=0.2)


def test_what_a_half_open_port_holds_is_ours_to_wait_for(free_port: int) -> None:
    """The head may come up a moment after the driver."""
    with socket.socket() as head:
        head.bind(("127.0.0.1", free_port))
        from threading import Timer

        timer = Timer(0.3, head.listen)
        timer.start()
        from workers.supervision.ray import cluster

        cluster._wait_for_port(f"127.0.0.1:{free_port}", 20.0)
        timer.join()
