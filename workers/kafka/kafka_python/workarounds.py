"""Four holes of kafka-python 3.0 (seen in 3.0.12).

Partitions fall silent, old offsets come back, and the last words of a broker are not heard. All are
reached by ordinary use, give no error and no log line, and are closed here from outside, which
takes private attributes. The contract tests named below fail without them; they also say when a
newer client no longer needs them, or no longer fits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable
from typing import Any

from kafka.errors import KafkaError
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport


def forget_asked_offsets(consumer: Any, partitions: Iterable[Any]) -> None:
    """Have the committed offsets of ``partitions`` asked for anew; call it before each question.

    A question that found no answer in time stays under way, and its answer is kept for the next
    question about the same partitions, however much later that is asked: it tells an offset of
    long ago, from which everything would be done again.

    Test: ``test_committed_offsets_are_asked_for_anew``.
    """
    consumer._coordinator._offset_fetch_futures.pop(frozenset(partitions), None)  # noqa: SLF001


def free_parked_records(consumer: Any) -> None:
    """Let the records of a partition that was paused and resumed come back; before each poll.

    The fetcher parks the parsed records of a paused partition, and takes them back after the
    resume *if* its slot ``_next_partition_records`` is None. But a used-up batch of another
    partition stays in that slot, false but not None; then the parked records never return, and
    while they are parked the partition is never fetched again. So empty a used-up slot.

    Test: ``test_a_paused_partition_is_silent_and_loses_nothing``.
    """
    fetcher = consumer._fetcher  # noqa: SLF001
    if not fetcher._next_partition_records:  # noqa: SLF001
        fetcher._next_partition_records = None  # noqa: SLF001


def keep_finished_join(coordinator: Any) -> None:
    """Let a join of the group that finished between two polls count; before each of its polls.

    The coordinator keeps a join under way over polls, but when it finds it *finished* it throws it
    away and joins anew, which makes every other member join anew. Members that do work between
    short polls can go round for ever, and no record is read meanwhile. So show it a join that is
    never "finished" and yet gives its result to who waits.

    A join that failed of what is no error of kafka-python's own would then be kept for ever: it is
    shown once, and thrown away at the poll after that.

    Tests: ``test_two_members_share_and_hand_over``, ``tests/unit/.../test_workarounds.py``.
    """
    task = coordinator._join_task  # noqa: SLF001
    if isinstance(task, _Join):
        if task.is_spent():
            coordinator._join_task = None  # noqa: SLF001
    elif task is not None:
        coordinator._join_task = _Join(task)  # noqa: SLF001


def hear_last_words() -> None:
    """Have the clients of this process take what comes together with the end of a connection.

    A broker says why it lets nobody in and hangs up at once. The transport reads both, and drops
    the words: a wrong password is a "socket disconnected". So keep the end for the next read.

    And close a connection whose handshake failed, which nobody else does.

    Test: ``test_a_wrong_password_names_the_principal``.
    """
    for transport in (KafkaTCPTransport, KafkaSSLTransport):
        if not hasattr(transport._sock_recv, "_hears"):  # noqa: SLF001
            transport._sock_recv = _hearing(transport._sock_recv)  # noqa: SLF001
            transport.handshake = _closing(transport.handshake)


def _hearing(receive: Callable[[Any], tuple[bytes, Any]]) -> Callable[[Any], tuple[bytes, Any]]:
    def hear(transport: Any) -> tuple[bytes, Any]:
        if (end := getattr(transport, "_vigie_end", None)) is not None:
            return b"", end
        data, end = receive(transport)
        if data and end is not None:
            transport._vigie_end = end  # noqa: SLF001
            return data, None
        return data, end

    hear._hears = True  # type: ignore[attr-defined]  # noqa: SLF001
    return hear


def _closing(handshake: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    async def close_if_it_fails(transport: Any) -> None:
        try:
            await handshake(transport)
        except BaseException as error:
            transport.abort(error)
            raise

    return close_if_it_fails


class _Join:
    """A join of the group whose result is always still to be taken."""

    is_done = False

    def __init__(self, task: Any) -> None:
        self._task = task
        self._was_done = False

    def is_spent(self) -> bool:
        """Whether it had failed by the last question, of what the coordinator does not handle."""
        was_done, self._was_done = self._was_done, bool(self._task.is_done)
        return was_done and self._task.failed() and not isinstance(self._task.exception, KafkaError)

    def add_callback(self, function: Callable[..., object], *arguments: object) -> _Join:
        self._task.add_callback(function, *arguments)
        return self

    def add_errback(self, function: Callable[..., object], *arguments: object) -> _Join:
        self._task.add_errback(function, *arguments)
        return self

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield from self._task.__await__())
