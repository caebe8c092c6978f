"""Where Vigie keeps what it fetched and what it must remember, per user; and a broker's data.

``VIGIE_CACHE_DIR`` and ``VIGIE_STATE_DIR`` override the platform's own folders.
"""

from __future__ import annotations

import base64
import os
import re
import uuid
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """The folder of what can be fetched again (jars, class data); not created here."""
    override = os.environ.get("VIGIE_CACHE_DIR")
    return Path(override) if override else platformdirs.user_cache_path("vigie")


def state_folder() -> Path:
    """The folder of what only this machine knows (the running broker); not created here."""
    override = os.environ.get("VIGIE_STATE_DIR")
    return Path(override) if override else platformdirs.user_state_path("vigie")


def node_folder(data: Path, node: int) -> Path:
    """The part of a cluster's data folder that is one node's."""
    return data / f"node-{node}"


def clusters_in(data: Path) -> list[str]:
    """The cluster's id as each node has it whose data is there; of one node, or of several."""
    files = [data / "log" / "meta.properties", *sorted(data.glob("node-*/log/meta.properties"))]
    texts = [file.read_text(encoding="utf-8") for file in files if file.is_file()]
    return [
        found[1]
        for text in texts
        if (found := re.search(r"^cluster\.id=(.+)$", text, re.MULTILINE))
    ]


def nodes_of(data: Path) -> int:
    """How many nodes the cluster of a data folder has; 0 when there is none.

    By what its nodes were told: a first start that was interrupted may have left data of some only.
    """
    files = data.glob("node-*/server.properties")
    texts = [file.read_text(encoding="utf-8") for file in files]
    voters = [
        len(found[1].split(","))
        for text in texts
        if (found := re.search(r"^controller\.quorum\.voters=(.+)$", text, re.MULTILINE))
    ]
    there = len(clusters_in(data))
    return max(there, *voters) if there and voters else there


def new_cluster_id() -> str:
    """An id that no other cluster has, as Kafka writes it."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
