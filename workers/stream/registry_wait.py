"""How long a loop has waited for the schema registry, and for the sake of which record."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final

from workers.errors import RegistryUnavailableError

_LONGEST_PAUSE_S: Final = 5.0


class RegistryWait:
    """An outage, from the first record that cannot be explained until it is.

    What other partitions read or commit between two tries ends nothing: their schemas are known.

    Args:
        log: hears of the outage and of its end, once each.
        monotonic_s: the clock.
    """

    def __init__(self, log: Any, monotonic_s: Callable[[], float]) -> None:
        self._log, self._monotonic_s = log, monotonic_s
        self._since_s = 0.0
        self._tries = 0
        self._at: tuple[int, int] | None = None
        self._reopening: set[int] = set()

    def __bool__(self) -> bool:
        """Whether the registry is waited for."""
        return self._at is not None

    @contextmanager
    def asking(self, partition: int, last_offset: int) -> Iterator[None]:
        """Around what may ask the registry about records of a partition, up to an offset."""
        try:
            yield
        except RegistryUnavailableError as error:
            if self._at is None:
                self._since_s = self._monotonic_s()
                self._log.warning("registry_away", partition=partition, reason=str(error))
            self._at = partition, last_offset
            raise
        if self._at is not None and partition == self._at[0] and last_offset >= self._at[1]:
            away_s = round(self._monotonic_s() - self._since_s, 1)
            self._log.info("registry_back", away_s=away_s)
            self._end()

    def again(self, opened: Collection[int]) -> float:
        """Note one more try, for which these partitions begin anew; the seconds to wait first."""
        self._tries += 1
        self._reopening.update(opened)
        return pause_of(self._tries)

    def left(self, partition: int) -> None:
        """Note that a partition was taken away: another member waits for its record."""
        self._reopening.discard(partition)
        if self._at is not None and self._at[0] == partition:
            self._end()

    def is_reopening(self, partition: int) -> bool:
        """Whether a partition begins anew only because of the wait; asked once each time."""
        found = partition in self._reopening
        self._reopening.discard(partition)
        return found

    def _end(self) -> None:
        self._at, self._tries = None, 0


def pause_of(tries: int) -> float:
    """Seconds to wait before the next one."""
    return min(0.05 * 2.0 ** min(tries, 10), _LONGEST_PAUSE_S)
