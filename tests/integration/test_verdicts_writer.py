"""Two writers at once lose no wish, on a real broker."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from random import Random

import pytest

from schemas.settings import Settings
from schemas.wire.verdict import decode_wishes
from tests.contract.kafka_tails import read_next
from tests.support.broker import read_all
from tests.support.wishes import off, wish_id
from workers.kafka.factory import connection_of, verdicts_of, verdicts_sink_of, verdicts_table_of
from workers.verdicts.standing import with_wish, without_wish
from workers.verdicts.writer import WishWriter

pytestmark = pytest.mark.kafka


@pytest.fixture
def settings(connection, make_topic):
    return Settings.model_validate(
        {
            "kafka": {"bootstrap": connection.bootstrap},
            "topics": {"verdicts": make_topic(**{"cleanup.policy": "compact"})},
        }
    )


def table_of_verdicts(settings):
    return verdicts_table_of(connection_of(settings.kafka), settings.topics.verdicts)


@contextmanager
def open_writer(settings, seed=0):
    with table_of_verdicts(settings).open() as table:
        yield WishWriter(
            sink=verdicts_sink_of(connection_of(settings.kafka), settings.topics.verdicts),
            table=table,
            topic=settings.topics.verdicts,
            rng=Random(seed),
        )


def standing(settings, key):
    with table_of_verdicts(settings).open() as table:
        value = table.latest(0).get(key.encode())
    return () if value is None else decode_wishes(key.encode(), value).wishes


def test_a_wish_is_written_found_by_the_stream_and_withdrawn(connection, settings):
    with open_writer(settings) as writer, verdicts_of(settings).open() as tail:
        writer.change("p1", lambda document: with_wish(document, off(1)))
        writer.change("p1", lambda document: with_wish(document, off(2)))
        assert standing(settings, "p1") == (off(1), off(2))
        for number in (1, 2):
            wish = wish_id(number)
            writer.change("p1", lambda document, wish=wish: without_wish(document, wish))
        assert standing(settings, "p1") == ()
        assert read_next(tail, 4) == [
            (record.key, record.value) for record in read_all(connection, settings.topics.verdicts)
        ]
        assert standing(settings, "p1") == ()


def test_two_writers_at_once_lose_no_wish(settings):
    failed = []

    def write(seed):
        try:
            with open_writer(settings, seed) as writer:
                for number in range(8 * seed, 8 * seed + 8):
                    writer.change(
                        "p1", lambda document, number=number: with_wish(document, off(number))
                    )
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert sorted(wish.id.int for wish in standing(settings, "p1")) == list(range(16))


def test_who_comes_between_reading_and_writing_costs_another_attempt(settings):
    """Both change the same key; the first has read what the second changes."""
    attempts = []
    with ExitStack() as stack:
        first, second = (stack.enter_context(open_writer(settings, seed)) for seed in range(2))

        def slowly(document):
            attempts.append(document.wishes)
            if len(attempts) == 1:
                second.change("p1", lambda other: with_wish(other, off(2)))
            return with_wish(document, off(1))

        before, after = first.change("p1", slowly)
    assert attempts == [(), (off(2),)]
    assert before.wishes == (off(2),)
    assert standing(settings, "p1") == after.wishes == (off(2), off(1))
