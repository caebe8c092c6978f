"""What a cluster is refused before any node starts, and what a folder says of its cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.broker.cluster import ClusterConfig
from workers.broker.embedded import BrokerConfig
from workers.broker.folders import node_folder, nodes_of
from workers.broker.properties import Quorum, server_properties
from workers.errors import ProvisioningError


def interrupted(data: Path) -> Path:
    """What a first start of three nodes leaves when only the first one was formatted."""
    controllers = {number: f"localhost:900{number}" for number in (1, 2, 3)}
    quorum = Quorum(cluster_id="x" * 22, controllers=controllers)
    for node in controllers:
        folder = node_folder(data, node)
        folder.mkdir(parents=True)
        text = server_properties(
            node=node, clients="localhost:9092", quorum=quorum, log=folder / "log", overrides={}
        )
        (folder / "server.properties").write_text(text)
    (node_folder(data, 1) / "log").mkdir()
    (node_folder(data, 1) / "log" / "meta.properties").write_text(f"cluster.id={'x' * 22}\n")
    return data


class LookedForJavaError(Exception):
    """What comes behind all that can be refused."""


@pytest.fixture(autouse=True)
def _starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_kafka(*_: object, **__: object) -> None:
        raise LookedForJavaError

    monkeypatch.setattr(BrokerConfig, "find_kafka", find_kafka)


def test_an_interrupted_first_start_is_taken_up_with_as_many_nodes_and_no_others(tmp_path):
    data = interrupted(tmp_path)

    assert nodes_of(data) == 3
    for other in (2, 5):
        with pytest.raises(ProvisioningError, match="cluster of 3 nodes: say --nodes 3, or"):
            ClusterConfig(nodes=other, each=BrokerConfig(data=data)).start()
    with pytest.raises(ProvisioningError, match="cluster of 3 nodes: say --nodes 3, or"):
        BrokerConfig(data=data).start()
    with pytest.raises(LookedForJavaError):
        ClusterConfig(nodes=3, each=BrokerConfig(data=data)).start()


def test_a_folder_in_which_nothing_was_formatted_is_anybody_s(tmp_path):
    data = interrupted(tmp_path)
    (node_folder(data, 1) / "log" / "meta.properties").unlink()

    assert nodes_of(data) == nodes_of(tmp_path / "none") == 0


def test_the_last_node_s_port_is_one_that_exists():
    with pytest.raises(ProvisioningError, match=r"--port 65535 on.*choose 65533 or less"):
        ClusterConfig(nodes=3, each=BrokerConfig(port=65_535)).start()
    with pytest.raises(LookedForJavaError):
        ClusterConfig(nodes=3, each=BrokerConfig(port=65_533)).start()
