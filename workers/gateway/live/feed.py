"""Follows the topics of readings, cleaned signal and anomalies in a thread, for `LiveFeed`.

It reads without a group and commits nothing. It may cost the gateway only a little: it spends at
most a share of its thread's time on records, and what it cannot take in within that it leaves out,
says so, and goes on with the newest.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import numpy as np
import structlog

from schemas.codec import HEADER, Decoder, Envelope
from schemas.codec.content_type import DENOISED_JSON
from schemas.codec.encoding import decode_denoised
from schemas.settings import Settings
from schemas.wire.anomaly import Anomaly
from schemas.wire.denoised import DenoisedFrame
from schemas.wire.errors import RecordError
from workers.errors import VigieError
from workers.gateway.live.live import LiveFeed
from workers.kafka.client import Record
from workers.kafka.factory import TopicReader, connection_of, open_reader
from workers.registry.parser import parser_of
from workers.stream.state.event_time import reject_wrong_clocks

__all__ = ["Taker", "following"]

_SHARE: Final = 0.25
"""Of the thread's time at most this is spent on records."""
_BEGIN_S: Final = 3600.0
MOST_BEHIND: Final = 50_000
"""Records of a partition beyond which it goes on with the newest, at the start and later."""
_MOST_WAITING: Final = 20_000
"""Readings that wait until the channels are known; older ones are left out."""
_LOOK_EVERY_S: Final = 2.0
_AGAIN_AFTER_S: Final = 5.0
_POLL_RECORDS: Final = 1000
_CLOSE_WITHIN_S: Final = 15.0

log = structlog.get_logger("vigie.live")


@contextmanager
def following(
    settings: Settings, feed: LiveFeed, *, most_behind: int = MOST_BEHIND
) -> Iterator[None]:
    """Follow the topics while the context is open; a broker that is away is asked again.

    Args:
        settings: the topics, and how their records are read.
        feed: what is filled.
        most_behind: records of a partition beyond which it goes on with the newest.
    """
    stop = threading.Event()
    thread = threading.Thread(
        target=_follow, args=(settings, feed, stop, most_behind), name="vigie-live", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=_CLOSE_WITHIN_S)


def _follow(settings: Settings, feed: LiveFeed, stop: threading.Event, most_behind: int) -> None:
    topics = (settings.topics.denoised, settings.topics.readings, settings.topics.anomalies)
    while not stop.is_set():
        try:
            taker = Taker(settings, feed)
            connection = connection_of(settings.kafka)
            with open_reader(connection, topics, client_id="vigie-live") as reader:
                _Follower(reader, taker, feed, stop, most_behind).run()
        except Exception as error:
            if not isinstance(error, VigieError):
                log.exception("live_feed_failed")
            said = str(error) if isinstance(error, VigieError) else "an error: see the log"
            feed.following = replace(
                feed.following, is_following=False, said=f"readings are not followed: {said}"
            )
            stop.wait(_AGAIN_AFTER_S)


class _Follower:
    """One reader while it is open."""

    def __init__(
        self,
        reader: TopicReader,
        taker: Taker,
        feed: LiveFeed,
        stop: threading.Event,
        most_behind: int,
    ) -> None:
        self._reader, self._taker, self._feed, self._stop = reader, taker, feed, stop
        self._most_behind = most_behind
        self._positions: dict[tuple[str, int], int] = {}

    def run(self) -> None:
        """Read until it is stopped."""
        self._begin()
        look_at_s = time.monotonic() + _LOOK_EVERY_S
        while not self._stop.is_set():
            records = self._reader.poll(max_records=_POLL_RECORDS)
            began_s = time.thread_time()
            for record in records:
                self._positions[record.topic, record.partition] = record.offset + 1
            self._taker.take(records)
            spent_s = time.thread_time() - began_s
            self._stop.wait(spent_s * (1 / _SHARE - 1))
            if time.monotonic() >= look_at_s:
                self._keep_up()
                look_at_s = time.monotonic() + _LOOK_EVERY_S

    def _begin(self) -> None:
        """Go to where the last hour began, or nearer to the end where that is too much."""
        ends, beginnings = self._reader.ends(), self._reader.beginnings()
        hour_ago = self._reader.offsets_at(int((time.time() - _BEGIN_S) * 1000))
        starts = {
            place: max(beginnings[place], end - self._most_behind, min(hour_ago[place], end))
            for place, end in ends.items()
        }
        self._reader.seek(starts)
        self._positions = dict(starts)
        self._feed.following = replace(
            self._feed.following, is_following=True, said="following the readings"
        )

    def _keep_up(self) -> None:
        """Leave records out where there are too many before the end."""
        ends = self._reader.ends()
        behind = {
            place: end - self._positions[place]
            for place, end in ends.items()
            if end - self._positions[place] > self._most_behind
        }
        if not behind:
            return
        self._reader.seek({place: ends[place] for place in behind})
        self._positions.update({place: ends[place] for place in behind})
        skipped = self._feed.following.skipped + sum(behind.values())
        log.warning("live_records_left_out", records=sum(behind.values()))
        self._feed.following = replace(
            self._feed.following,
            skipped=skipped,
            said=f"following the readings; {skipped:,} records were left out to keep up",
        )


class Taker:
    """Decodes records as the stream does, and hands them to the feed."""

    def __init__(self, settings: Settings, feed: LiveFeed) -> None:
        self._settings, self._feed = settings, feed
        layout = settings.input
        self._envelope = None if layout.is_vigies_own else Envelope(layout, parser_of(settings))
        self._decoder: Decoder | None = None
        self._waiting = deque[Record](maxlen=_MOST_WAITING)

    def take(self, records: Sequence[Record]) -> None:
        """Take in records of all topics."""
        topics = self._settings.topics
        by_topic: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            by_topic[record.topic].append(record)
        self._feed.add_frames(_frames(by_topic[topics.denoised]))
        self._add_readings(by_topic[topics.readings])
        self._feed.add_anomalies(_anomalies(by_topic[topics.anomalies]))

    def _add_readings(self, records: Sequence[Record]) -> None:
        """Readings need the model's channels: they wait for the first cleaned frame."""
        channels, stream = self._feed.channels, self._settings.stream
        if not channels:
            self._waiting.extend(records)
            return
        records = [*self._waiting, *records]
        self._waiting.clear()
        if not records:
            return
        if self._decoder is None or self._decoder.channels != channels:
            self._decoder = Decoder(
                channels,
                wire_names={
                    name: wire for name, wire in stream.channels.items() if name in channels
                },
                max_bytes=stream.max_record_bytes,
                default_content_type=stream.content_type,
                envelope=self._envelope,
            )
        decoded = self._decoder.decode(
            [record.value for record in records],
            [dict(record.headers).get(HEADER) if record.headers else None for record in records],
            records,
        )
        stamps_ms = np.fromiter((record.timestamp for record in records), np.int64, len(records))
        decoded = reject_wrong_clocks(
            decoded,
            stamps_ms,
            max_ahead_s=stream.max_ahead_s,
            max_behind_s=stream.max_behind_s,
        )
        self._feed.add_readings(decoded.readings)


def _frames(records: Sequence[Record]) -> list[DenoisedFrame]:
    found = []
    for record in records:
        content_type = dict(record.headers).get(HEADER) or DENOISED_JSON
        try:
            found.append(decode_denoised(record.value or b"", content_type))
        except (RecordError, ValueError):  # of another version, or not ours
            continue
    return found


def _anomalies(records: Sequence[Record]) -> list[Anomaly]:
    found = []
    for record in records:
        try:
            found.append(Anomaly.model_validate_json(record.value or b""))
        except ValueError:
            continue
    return found
