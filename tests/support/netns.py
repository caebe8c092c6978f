"""Machines of their own on one machine: network namespaces on a bridge, each with its address.

Linux and root only; `why_not` says what is missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache


@cache
def why_not() -> str | None:
    """Why no namespaces can be made here; None if they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need `ip` (Debian: iproute2)"
    name = f"vgprobe{uuid.uuid4().hex[:6]}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return f"no network namespace can be made here: {made.stderr.strip()}"
    _ip("netns", "del", name)
    return None


@dataclass(frozen=True, kw_only=True)
class Node:
    """One namespace.

    Attributes:
        name: of the namespace, for ``ip netns exec``.
        address: its IPv4 address on the bridge.
        link: the host's end of its cable; down means: it reaches nobody, and nobody reaches it.
    """

    name: str
    address: str
    link: str

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` in the namespace."""
        return ["ip", "netns", "exec", self.name, *argv]

    def cut(self) -> None:
        """Pull the cable: packets vanish, connections stay open and hear nothing."""
        _ip("link", "set", self.link, "down")

    def heal(self) -> None:
        """Put the cable back."""
        _ip("link", "set", self.link, "up")


@dataclass(frozen=True, kw_only=True)
class Network:
    """A bridge and what hangs on it; the test itself has `host` on it."""

    bridge: str
    prefix: str
    nodes: list[Node] = field(default_factory=list)
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def host(self) -> str:
        """The address of the test's own namespace on this network."""
        return f"{self.prefix}.1"

    def add(self, beside: Node | None = None) -> Node:
        """One more namespace, cable in, loopback up.

        Args:
            beside: a node of another network: its namespace gets a second cable, to this one.
        """
        number = len(self.nodes) + 2
        name, link = f"{self.bridge}-{number}", f"{self.bridge}h{number}"
        if beside is None:
            _ip("netns", "add", name)
            self.stack.callback(_ip, "netns", "del", name, check=False)
        else:
            name = beside.name
        node = Node(name=name, address=f"{self.prefix}.{number}", link=link)
        inner = f"{self.bridge}n{number}"
        _ip("link", "add", link, "type", "veth", "peer", "name", inner)
        self.stack.callback(_ip, "link", "del", link, check=False)
        _ip("link", "set", inner, "netns", name)
        _ip("link", "set", link, "master", self.bridge, "up")
        inside = ("netns", "exec", name, "ip")
        _ip(*inside, "address", "add", f"{node.address}/24", "dev", inner)
        _ip(*inside, "link", "set", "lo", "up")
        _ip(*inside, "link", "set", inner, "up")
        if beside is None:
            _ip(*inside, "route", "add", "default", "via", self.host)
        self.nodes.append(node)
        return node


@contextmanager
def open_network() -> Iterator[Network]:
    """A network of its own; all of it is gone at the end, processes in it are the caller's."""
    tag = uuid.uuid4().hex[:6]
    # Third octet by chance, so that runs side by side do not meet; 10.213 is nobody's by habit.
    prefix = f"10.213.{int(tag, 16) % 250 + 1}"
    network = Network(bridge=f"vg{tag}", prefix=prefix)
    with network.stack:
        _ip("link", "add", network.bridge, "type", "bridge")
        network.stack.callback(_ip, "link", "del", network.bridge, check=False)
        _ip("address", "add", f"{network.host}/24", "dev", network.bridge)
        _ip("link", "set", network.bridge, "up")
        yield network


def _ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=True)
