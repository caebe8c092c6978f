"""A join of the group that failed is shown, and then it is over."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from kafka.errors import KafkaConnectionError
from kafka.future import Future

from workers.kafka.kafka_python.workarounds import keep_finished_join


def test_a_join_that_failed_of_anything_is_shown_once_and_not_kept_for_ever() -> None:
    task = Future()
    coordinator = SimpleNamespace(_join_task=task)
    keep_finished_join(coordinator)
    shown = coordinator._join_task
    task.failure(RuntimeError("nobody expects it"))
    keep_finished_join(coordinator)
    assert coordinator._join_task is shown
    keep_finished_join(coordinator)
    assert coordinator._join_task is None


@pytest.mark.parametrize("error", [None, KafkaConnectionError("gone")])
def test_a_join_whose_end_the_client_handles_itself_is_left_to_it(error: Exception | None) -> None:
    task = Future()
    coordinator = SimpleNamespace(_join_task=task)
    keep_finished_join(coordinator)
    if error is None:
        task.success(b"")
    else:
        task.failure(error)
    for _ in range(3):
        keep_finished_join(coordinator)
        assert coordinator._join_task is not None
        assert not coordinator._join_task.is_done
