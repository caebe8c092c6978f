"""A Ray to run in: a running cluster's, or a local one that ends with us."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Final

from schemas.settings import RaySettings
from workers.errors import ClusterError
from workers.supervision.plan import Resources
from workers.supervision.ray.cluster import AUTH_MODE, Cluster, check_token
from workers.supervision.ray.own_node import OwnNode, own_node
from workers.supervision.ray.watch import ClusterView, ClusterWatch, view_of_ray

_OPTIONS: Final[dict[str, Any]] = {
    "namespace": "vigie",
    "logging_level": logging.ERROR,
    "log_to_driver": True,
}
_DRAIN_WITHOUT_HEAD_S: Final = 120


@contextmanager
def ray_session(settings: RaySettings, *, cpus: int, gpus: float = 0.0) -> Iterator[ClusterWatch]:
    """Connect to a cluster, or start a local one with `cpus` cores, and `gpus` to plan with.

    A local one keeps its files in a folder of its own and removes them at the end. Where the
    address of a cluster is given and none of its nodes runs on this machine, one is started that
    ends with the session. Gives a watch over the cluster.

    Raises:
        SettingsError: the address or the token of a cluster is missing or wrong.
        ClusterError: no cluster answers at the address.
    """
    # Ray's notice about a later default of its own; nothing for our users to act on.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Ray ends the process when the head is away for so long: our own limit has to come first.
    patience_s = int(settings.head_timeout_s) + _DRAIN_WITHOUT_HEAD_S
    os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", str(patience_s))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with ExitStack() as stack:
        if settings.address is None:
            stack.enter_context(_local(cpus))
            node, resources, ask = None, Resources(cpus=cpus, gpus=gpus), _view_of_local
        else:
            check_token(os.environ)
            node = stack.enter_context(_joined(settings.address))
            resources, ask = _cluster_resources(), view_of_ray
        _restore(handlers)
        watch = ClusterWatch(
            ask,
            resources=resources,
            head_timeout_s=settings.head_timeout_s,
            check_node=(lambda: None) if node is None else node.check,
        )
        yield stack.enter_context(watch.watching())


@contextmanager
def _local(cpus: int) -> Iterator[None]:
    # Ray 2.59 and later decide by a file in HOME whether tokens are asked for: say it instead.
    os.environ.setdefault(AUTH_MODE, "token")
    import ray

    # Sockets lie below this folder and their paths are limited to 107 characters: keep it short.
    folder = tempfile.mkdtemp(prefix="vigie-ray-")
    try:
        ray.init(
            address="local", num_cpus=cpus, include_dashboard=False, _temp_dir=folder, **_OPTIONS
        )
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _joined(address: str) -> Iterator[OwnNode | None]:
    """Joined to a cluster; gives the node that was started for it, if one had to be."""
    import ray

    with ExitStack() as stack:
        options, node = dict(_OPTIONS), None
        if address != "auto":
            cluster = Cluster.reach(address)
            beside = cluster.node_beside_us()
            if beside is not None:
                options["_node_ip_address"] = beside
            else:
                node = stack.enter_context(own_node(cluster))
                options["_temp_dir"] = str(node.folder)
        try:
            ray.init(address=address, **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ClusterError(
                f"no Ray cluster answers at ray.address = {address!r}: {error}"
            ) from error
        stack.callback(ray.shutdown)
        yield node


def _view_of_local() -> ClusterView:
    """Of a Ray of our own, which no node joins: what we have is what we said at its start."""
    return replace(view_of_ray(), resources=None)


def _cluster_resources() -> Resources:
    import ray

    found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return Resources(cpus=int(found.get("CPU", 0)), gpus=found.get("GPU", 0.0))


def _restore(handlers: dict[signal.Signals, Any]) -> None:
    """Put the signal handlers back: `ray.init` replaces that of SIGTERM with a plain exit."""
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            signal.signal(number, handler)
