"""On which node of a cluster an actor is started. Nothing of it may change a score.

A batch that goes to a scorer over the network costs more than one that stays in shared memory, so
an ingest worker starts beside scorers, where these have the fewest ingest workers each. Scorers,
and ingest workers that score by themselves, spread over the nodes: the loss of one node takes the
fewest. All of these are wishes: where there is no room, another node will do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable
from typing import Any, Final

SPREAD: Final = "SPREAD"


def node_beside_scorers(
    scorers: Iterable[str], ingest: Iterable[str], leaving: Container[str] = ()
) -> str | None:
    """The node whose scorers have the fewest ingest workers each; None without scorers.

    Args:
        scorers: nodes of the scorers, one entry for each of them.
        ingest: nodes of the ingest workers that there are.
        leaving: nodes that are about to go: none of them is chosen.
    """
    carried = Counter(node for node in scorers if node not in leaving)
    present = Counter(ingest)
    # The name settles a tie, so that the choice is a function of what is there.
    return min(carried, key=lambda node: (present[node] / carried[node], node), default=None)


def strategy_beside(node: str | None) -> Any:
    """Ray's strategy for an actor that is best placed on this node, or anywhere."""
    if node is None:
        return SPREAD
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # Soft alone would wait for a node that is busy, and go elsewhere only if it were gone.
    return NodeAffinitySchedulingStrategy(node, soft=True, _spill_on_unavailable=True)
