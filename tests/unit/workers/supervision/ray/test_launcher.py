"""What of starting and ending actors can be said without any."""

from __future__ import annotations

import threading
import time
from typing import Any

from workers.supervision.ray.launcher import Killer


def test_a_head_that_is_gone_does_not_hold_up_the_supervisor_once_per_actor() -> None:
    head = threading.Event()

    def kill(actor: Any, *, no_restart: bool) -> None:
        head.wait(60.0)

    killer = Killer(kill, within_s=0.5)
    began_s = time.monotonic()
    for actor in range(20):
        killer(actor)
    assert time.monotonic() - began_s < 5.0, "20 waits would be 10 s"
    head.set()


def test_a_kill_is_over_when_it_returns_where_the_head_answers() -> None:
    ended = []

    def kill(actor: Any, *, no_restart: bool) -> None:
        threading.Event().wait(0.05)  # a head that takes its time
        ended.append((actor, no_restart))

    killer = Killer(kill, within_s=60.0)
    killer("first")
    killer("second", no_restart=False)
    assert ended == [("first", True), ("second", False)]
