"""A watch over the cluster: whether its head answers, our node lives, and which nodes are leaving.

Ray tells none of that to a driver: calls only fail or hang, and after a minute the process ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from workers.errors import ClusterLostError
from workers.supervision.plan import Resources

_EVERY_S: Final = 1.0
_CALL_WITHIN_S: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class ClusterView:
    """What the head says.

    Attributes:
        has_us: whether the node of this driver lives.
        leaving: nodes that are being drained, as Ray names them.
        resources: of all other nodes; None where they do not change.
    """

    has_us: bool
    leaving: frozenset[str] = frozenset()
    resources: Resources | None = None


class ClusterWatch:
    """Asks the head every second, from a thread of its own; `look` never blocks."""

    def __init__(
        self,
        ask: Callable[[], ClusterView],
        *,
        resources: Resources,
        head_timeout_s: float,
        check_node: Callable[[], None] = lambda: None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Watch with `ask`, which raises whatever it likes while the head does not answer.

        `resources` are those at the start.
        `check_node` raises `ClusterLostError` when the node that we started has ended.
        """
        self._ask, self._check_node = ask, check_node
        self._head_timeout_s, self._monotonic_s = head_timeout_s, monotonic_s
        self._first, self._view = resources, ClusterView(has_us=True)
        self._looked_at_s = monotonic_s()
        self._silent_s = 0.0
        self._answers = self._answers_seen = 0
        self._said = ""

    def ask(self) -> None:
        """Ask once."""
        try:
            self._view = self._ask()
        except Exception as error:  # noqa: BLE001 - every failure means the same: no answer
            self._said = str(error).strip().partition("\n")[0]
            return
        self._answers += 1

    def look(self) -> frozenset[str]:
        """The nodes that are leaving; to be called a few times a second.

        Only time in which we could have heard of it counts: a driver that was stopped itself must
        not blame the head.

        Raises:
            ClusterLostError: our node is gone, or the head has not answered for too long.
        """
        self._check_node()
        if not self._view.has_us:
            raise ClusterLostError(
                "the Ray node beside this driver is gone (killed, or out of memory?), and with it "
                "the way to the workers. Start vigie run again: it goes on at what was committed"
            )
        now_s = self._monotonic_s()
        passed_s, self._looked_at_s = min(now_s - self._looked_at_s, _EVERY_S), now_s
        if self._answers != self._answers_seen:
            self._answers_seen, self._silent_s = self._answers, 0.0
        else:
            self._silent_s += passed_s
        if self._silent_s >= self._head_timeout_s:
            raise ClusterLostError(
                f"the head of the Ray cluster has not answered for {self._silent_s:.0f} s "
                f"(ray.head_timeout_s; {self._said or 'no answer'}). Bring the head back, or start "
                "a new cluster, and start vigie run again: it goes on at what was committed"
            )
        return self._view.leaving

    @property
    def resources(self) -> Resources:
        """What the nodes have that stay, as the head said last."""
        return self._view.resources or self._first

    @contextmanager
    def watching(self) -> Iterator[ClusterWatch]:
        """Ask every second while the block runs."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(_EVERY_S):
                self.ask()

        # Nobody waits for its end: a call to a head that is gone may take its time.
        threading.Thread(target=watch, name="vigie-cluster-watch", daemon=True).start()
        try:
            yield self
        finally:
            over.set()


def view_of_ray() -> ClusterView:
    """Ask the head that this process is connected to."""
    import ray
    from ray._private import worker
    from ray._private.state import state

    head = worker.global_worker.gcs_client  # type: ignore[attr-defined]
    nodes = head.get_all_node_info(timeout=_CALL_WITHIN_S)
    ours = ray.get_runtime_context().get_node_id()
    living = {node_id.hex(): node for node_id, node in nodes.items() if node.state == 0}
    totals = {name: node.resources_total for name, node in living.items()}
    return view_of(totals, leaving=frozenset(state.get_draining_nodes()), ours=ours)


def view_of(
    totals: Mapping[str, Mapping[str, float]], *, leaving: frozenset[str], ours: str
) -> ClusterView:
    """The view of a cluster whose living nodes have these resources in total."""
    staying = [total for node, total in totals.items() if node not in leaving]
    resources = Resources(
        cpus=int(sum(total.get("CPU", 0) for total in staying)),
        gpus=sum(total.get("GPU", 0.0) for total in staying),
    )
    return ClusterView(has_us=ours in totals, leaving=leaving, resources=resources)
