"""Pods of a rendered chart, run without Kubernetes: each a container in a network of its own.

What the kubelet does with a pod is done here by hand: init containers one after the other, volumes
of ConfigMaps, Secrets and claims as folders, probes.
"""

from __future__ import annotations

import os
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.container import Container, Mounts
from tests.support.dockerfile import Image
from tests.support.manifests import Manifest, named, pods
from tests.support.netns import Network, Node
from tests.support.wait import wait_until

_USER = 10001


@dataclass(kw_only=True)
class Pod:
    """One pod; its main container may be asked and stopped."""

    name: str
    spec: dict[str, Any]
    node: Node
    container: Container

    @property
    def address(self) -> str:
        """Of the pod."""
        return self.node.address

    def passes(self, kind: str) -> bool:
        """Whether its probe of this kind (startup, liveness, readiness) is content.

        Raises:
            AssertionError: the container has ended; shows what it said last.
        """
        log = self.container.log
        assert self.container.is_running(), f"{self.name}: {log.read_text()[-4000:]}"
        main = self.spec["containers"][0]
        probe = main[f"{kind}Probe"]
        ports = {port["name"]: port["containerPort"] for port in main["ports"]}
        if "tcpSocket" in probe:
            return _listens(self.address, ports[probe["tcpSocket"]["port"]])
        asked = probe["httpGet"]
        return _is_ok(f"http://{self.address}:{ports[asked['port']]}{asked['path']}")

    def stop(self) -> int:
        """SIGTERM, and SIGKILL after its grace period: then the code is 137."""
        return self.container.stop(signal.SIGTERM, self.spec["terminationGracePeriodSeconds"])


@dataclass(kw_only=True)
class Namespace:
    """The manifests of a release, and what they find in the cluster.

    Attributes:
        image: of Vigie, with the mounts that hold its environment.
        secrets: text by key by name of a Secret.
        claims: folder by name of a PersistentVolumeClaim.
    """

    manifests: list[Manifest]
    folder: Path
    network: Network
    image: Image
    environment: Mounts
    secrets: Mapping[str, Mapping[str, str]]
    claims: Mapping[str, Path]
    running: dict[str, Pod] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._templates = dict(pods(self.manifests))
        self._nodes = {name: self.network.add() for name in self._templates}
        # Services have the names of their Deployments.
        lines = [f"{node.address} {pod}" for pod, node in self._nodes.items()]
        (self.folder / "hosts").write_text("\n".join(["127.0.0.1 localhost", *lines, ""]))

    def start(self, name: str, *, init_within_s: float = 240) -> Pod:
        """Start a pod: its init containers to their end, then the main one.

        Raises:
            AssertionError: an init container failed; shows what it said.
        """
        spec = self._templates[name]["spec"]
        for first in spec.get("initContainers", ()):
            container = self._container(name, spec, first)
            code = container.run(init_within_s)
            assert code == 0, f"{name}, {first['name']}: {container.log.read_text()[-4000:]}"
        main = self._container(name, spec, spec["containers"][0])
        pod = Pod(name=name, spec=spec, node=self._nodes[name], container=main)
        self.running[name] = pod
        main.start()
        wait_until(lambda: pod.passes("startup"), within=240, what=f"{name} to begin")
        return pod

    def _container(self, pod: str, spec: dict[str, Any], container: dict[str, Any]) -> Container:
        path = self.image.env["PATH"].replace("$PATH", "/usr/local/bin:/usr/bin:/bin")
        given = {one["name"]: one.get("value", "") for one in container.get("env", ())}
        command = [*self.image.entrypoint, *container.get("args", ())]
        volumes = {one["name"]: one for one in spec["volumes"]}
        mounts = [(self.folder / "hosts", "/etc/hosts", "ro")]
        tmpfs, shm_size = [], "64m"
        for mount in container["volumeMounts"]:
            volume = volumes[mount["name"]]
            if "emptyDir" not in volume:
                mode = "ro" if mount.get("readOnly") else "rw"
                mounts.append((self._content(pod, volume), mount["mountPath"], mode))
            elif mount["mountPath"] == "/dev/shm":
                shm_size = volume["emptyDir"]["sizeLimit"].removesuffix("i").lower()
            else:
                tmpfs.append(mount["mountPath"])
        return Container(
            name=pod,
            command=command,
            env=self.image.env | {"PATH": path} | given,
            log=self.folder / f"{pod}.{container['name']}.log",
            user=(_USER, _USER),
            folder=self.image.folder,
            mounts=[*self.environment, *mounts],
            tmpfs=tmpfs,
            shm_size=shm_size,
            read_only=container["securityContext"]["readOnlyRootFilesystem"],
            init=False,
            node=self._nodes[pod],
        )

    def _content(self, pod: str, volume: dict[str, Any]) -> Path:
        """The folder that a volume is."""
        if "persistentVolumeClaim" in volume:
            return self.claims[volume["persistentVolumeClaim"]["claimName"]]
        files: dict[str, str] = {}
        if "configMap" in volume:
            files |= named(self.manifests, "ConfigMap", volume["configMap"]["name"])["data"]
        if "secret" in volume:
            source = self.secrets[volume["secret"]["secretName"]]
            files |= {item["path"]: source[item["key"]] for item in volume["secret"]["items"]}
        for projected in volume.get("projected", {}).get("sources", ()):
            source = self.secrets[projected["secret"]["name"]]
            items = projected["secret"]["items"]
            files |= {item["path"]: source[item["key"]] for item in items}
        folder = self.folder / f"{pod}.{volume['name']}"
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text)
            os.chown(folder / name, 0, _USER)
            (folder / name).chmod(0o440)
        return folder


@contextmanager
def removed_at_the_end(namespace: Namespace) -> Iterator[Namespace]:
    """Whatever happens, no process of it is left."""
    try:
        yield namespace
    finally:
        for pod in reversed(namespace.running.values()):
            pod.container.remove()


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=2):
            return True
    except OSError:
        return False


def _is_ok(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False
