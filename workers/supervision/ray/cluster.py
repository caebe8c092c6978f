"""A cluster at an address, before Ray is asked to join it: what would fail there fails here.

Ray itself waits forty seconds for a head that is not there, ends the whole process for a token
that is missing, and names neither.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import psutil

from workers.errors import ClusterError, SettingsError

AUTH_MODE: Final = "RAY_AUTH_MODE"
_TOKEN, _TOKEN_PATH = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
_ANSWERS_WITHIN_S: Final = 30.0
_CALL_WITHIN_S: Final = 10.0
_POLL_S: Final = 0.5


def check_token(environment: Mapping[str, str]) -> None:
    """Check that it is said whether the cluster asks for a token, and that there is one if so.

    Raises:
        SettingsError: names the variable or the file.
    """
    mode = environment.get(AUTH_MODE, "").lower()
    if not mode:
        raise SettingsError(
            f"{AUTH_MODE} is not set, and Ray would go by what an earlier run left in the home "
            f"folder: set it to token, with {_TOKEN_PATH} naming the file that holds the token of "
            "the cluster, or to disabled for a cluster that asks for none"
        )
    if mode not in {"token", "disabled"}:
        raise SettingsError(f"{AUTH_MODE} must be token or disabled, got {mode!r}")
    if mode == "disabled" or environment.get(_TOKEN):
        return
    named = environment.get(_TOKEN_PATH)
    path = Path(named) if named else Path.home() / ".ray" / "auth_token"
    said = f"{_TOKEN_PATH} names" if named else f"neither {_TOKEN} nor {_TOKEN_PATH} is set: it is"
    try:
        is_empty = not path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{AUTH_MODE} is token, but there is no token to read. {said} {path}: "
            f"{getattr(error, 'strerror', None) or 'this is no text'}"
        ) from error
    if is_empty:
        raise SettingsError(f"{AUTH_MODE} is token, and {path} is empty: put the token there")


class Cluster:
    """What the head of a cluster says of it. Made by `reach`."""

    def __init__(self, address: str, client: Any) -> None:
        self.address = address
        self._client = client

    @classmethod
    def reach(cls, address: str, *, within_s: float = _ANSWERS_WITHIN_S) -> Cluster:
        """Wait for the head at ``HOST:PORT``, and check that it takes our token and our versions.

        Raises:
            SettingsError: the address or the token is wrong.
            ClusterError: nobody answers, or another version of Ray or Python does.
        """
        _wait_for_port(address, within_s)
        import ray
        from ray._raylet import GcsClient  # type: ignore[attr-defined]

        try:
            cluster = cls(address, GcsClient(address=address))
            cluster.check_versions()
        except ray.exceptions.AuthenticationError as error:
            given = os.environ.get(AUTH_MODE, "")
            raise SettingsError(
                f"the Ray cluster at {address} does not take our token: "
                + (
                    f"{_TOKEN_PATH} or {_TOKEN} has to give the one that its head was started with"
                    if given.lower() == "token"
                    else f"it asks for one, and {AUTH_MODE} is {given}"
                )
            ) from error
        except (ray.exceptions.RayError, ConnectionError, RuntimeError) as error:
            raise ClusterError(
                f"what answers at {address} does not answer as the head of a Ray cluster: {error}"
            ) from error
        return cluster

    def check_versions(self) -> None:
        """Compare the versions of the cluster with ours.

        Raises:
            ClusterError: they differ; says which.
        """
        import json

        from ray._private.utils import check_version_info

        metadata = self._client.internal_kv_get(
            b"CLUSTER_METADATA", namespace=b"cluster", timeout=_CALL_WITHIN_S
        )
        try:
            check_version_info(json.loads(metadata), "vigie")
        except RuntimeError as error:
            raise ClusterError(
                f"the Ray cluster at {self.address} has other versions than this program. All of "
                f"its nodes and the driver need the same image. {' '.join(str(error).split())}"
            ) from error

    def living(self) -> list[Any]:
        """Its living nodes, as Ray describes them."""
        nodes = self._client.get_all_node_info(timeout=_CALL_WITHIN_S).values()
        return [node for node in nodes if node.state == 0]

    def node_beside_us(self) -> str | None:
        """The address of its node on this machine, if there is one."""
        ours = {one.address for many in psutil.net_if_addrs().values() for one in many}
        beside = [n.node_manager_address for n in self.living() if n.node_manager_address in ours]
        return beside[0] if beside else None

    def has_node_in(self, folder: str) -> bool:
        """Whether a node that keeps its files in this folder has joined."""
        return any(node.temp_dir == folder for node in self.living())


def _wait_for_port(address: str, within_s: float) -> None:
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():
        raise SettingsError(
            f"ray.address must be HOST:PORT of the cluster's head, as 10.0.0.5:6379, or auto for "
            f"the node on this machine; got {address!r}"
        )
    deadline_s = time.monotonic() + within_s
    while True:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=5):
                return
        except OSError as error:
            if time.monotonic() >= deadline_s:
                raise ClusterError(
                    f"no Ray cluster answers at ray.address = {address!r} within {within_s:g} s "
                    f"({error.strerror or error}): start its head with `ray start --head`, or "
                    "correct the address"
                ) from error
        time.sleep(_POLL_S)
