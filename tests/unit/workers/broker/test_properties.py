"""What a node is told: copies that survive the loss of a node, and where the others are."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.broker.properties import Quorum, server_properties


def lines_of(nodes: int, **overrides: str) -> dict[str, str]:
    controllers = {number: f"localhost:900{number}" for number in range(1, nodes + 1)}
    text = server_properties(
        node=1,
        clients="localhost:9092",
        quorum=Quorum(cluster_id="x" * 22, controllers=controllers),
        log=Path("/data/log"),
        overrides=overrides,
    )
    return dict(line.split("=", 1) for line in text.splitlines())


@pytest.mark.parametrize(
    ("nodes", "copies", "in_sync"), [(1, "1", "1"), (2, "2", "1"), (3, "3", "2"), (5, "3", "2")]
)
def test_from_three_nodes_on_two_copies_must_have_what_counts(nodes, copies, in_sync):
    lines = lines_of(nodes)

    wanted_copies = {
        "default.replication.factor", "offsets.topic.replication.factor",
        "transaction.state.log.replication.factor",
        "share.coordinator.state.topic.replication.factor",
    }  # fmt: skip
    assert {lines[key] for key in wanted_copies} == {copies}
    assert lines["min.insync.replicas"] == in_sync
    assert lines["transaction.state.log.min.isr"] == in_sync


def test_a_lone_node_finds_itself_and_several_find_each_other():
    assert "controller.quorum.voters" not in lines_of(1)
    assert lines_of(1)["controller.quorum.bootstrap.servers"] == "localhost:9001"
    assert lines_of(3)["controller.quorum.voters"] == (
        "1@localhost:9001,2@localhost:9002,3@localhost:9003"
    )


def test_what_is_said_by_hand_wins():
    assert lines_of(3, **{"min.insync.replicas": "1"})["min.insync.replicas"] == "1"
