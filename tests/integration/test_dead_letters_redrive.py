"""`vigie dead-letters redrive` on a real broker: the way back, and what does not go it."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from detector.artifact import save
from schemas.settings import Settings
from schemas.wire.dead_letter import TRUNCATED, read_dead_letter, read_redrive
from tests.support.broker import MakeTopic, produce, read_all
from tests.support.dead_letters import (
    GOOD,
    WRONG_NAMES,
    Command,
    dead_letter,
    give_up,
    lines,
    make_command,
    where,
)
from tests.support.models import small_detector
from tests.support.streams import make_settings, open_loop, records_done, step_until
from workers.cli import main as cli
from workers.cli.exits import ExitCode
from workers.cli.views.dead_letters import LATE
from workers.kafka.client import Connection

pytestmark = pytest.mark.kafka


@pytest.fixture
def settings(connection: Connection, make_topic: MakeTopic, group: str) -> Settings:
    return make_settings(connection, make_topic, group, partitions=2)


@pytest.fixture
def vigie(settings: Settings, capsys: pytest.CaptureFixture[str]) -> Command:
    return make_command(settings, capsys)


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(save(small_detector(), tmp_path / "model"))


def test_a_redrive_goes_back_to_its_partition_with_its_story(connection, settings, vigie):
    """Not to the partition of its key: whoever sent it first had chosen that one."""
    headers = [("trace", b"\xff"), ("trace", b"2")]
    for partition in (0, 1):
        give_up(
            connection,
            settings,
            [dead_letter(b"bad", settings, offset=4, partition=partition, headers=headers)],
        )
    code, out, _ = vigie("redrive", "0:0", "0:1")
    assert code == ExitCode.OK
    assert "2 dead letters sent back and acknowledged" in out
    assert LATE in out
    records = read_all(connection, settings.topics.readings)
    assert [record.partition for record in records] == [0, 1]
    for offset, record in enumerate(records):
        assert (record.key, record.value) == (b"pump-1", b"bad")
        assert list(record.headers[:2]) == headers
        story = read_redrive(record.headers)
        assert story is not None
        assert (story.attempt, story.source_offset, story.source_partition) == (
            1, 4, record.partition,
        )  # fmt: skip
        assert (story.dead_letter_topic, story.dead_letter_offset) == (
            settings.topics.dead_letters, offset,
        )  # fmt: skip
        assert story.reason.startswith("decode: not JSON")


def test_a_dry_run_sends_nothing(connection, settings, vigie):
    give_up(connection, settings, [dead_letter(b"bad", settings)])
    code, out, _ = vigie("redrive", "--all", "--dry-run")
    assert code == ExitCode.OK
    assert "1 dead letters would be sent back" in out
    assert read_all(connection, settings.topics.readings) == []


def test_all_takes_the_filters_and_the_oldest_first(connection, settings, vigie):
    give_up(connection, settings, [dead_letter(b"bad %d" % n, settings) for n in range(5)])
    give_up(connection, settings, [dead_letter(WRONG_NAMES, settings)])
    assert vigie("redrive", "--all", "--reason", "not JSON", "--limit", "3")[0] == ExitCode.OK
    values = [record.value for record in read_all(connection, settings.topics.readings)]
    assert values == [b"bad 0", b"bad 1", b"bad 2"]


def test_many_are_not_sent_without_a_yes(connection, settings, vigie, monkeypatch):
    give_up(connection, settings, [dead_letter(b"bad %d" % n, settings) for n in range(11)])
    code, _, err = vigie("redrive", "--all")
    assert code == ExitCode.USAGE
    assert "--yes" in err
    assert read_all(connection, settings.topics.readings) == []
    assert vigie("redrive", "--all", "--yes")[0] == ExitCode.OK
    assert len(read_all(connection, settings.topics.readings)) == 11


class Terminal(io.StringIO):
    """Standard input of a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "sent"), [("y", 11), ("n", 0)])
def test_a_terminal_is_asked(connection, settings, vigie, monkeypatch, answer, sent):  # noqa: PLR0917 - fixtures
    give_up(connection, settings, [dead_letter(b"bad %d" % n, settings) for n in range(11)])
    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
    code, _, err = vigie("redrive", "--all")
    assert "Send 11 dead letters back" in err
    assert (code == ExitCode.OK) == bool(sent)
    assert len(read_all(connection, settings.topics.readings)) == sent


def test_a_repaired_value_is_sent_instead(connection, settings, vigie, tmp_path):
    give_up(connection, settings, [dead_letter(b"bad", settings)])
    (tmp_path / "repaired").write_bytes(GOOD[0])
    assert vigie("redrive", "0:0", "--with", str(tmp_path / "repaired"))[0] == ExitCode.OK
    (record,) = read_all(connection, settings.topics.readings)
    assert record.value == GOOD[0]
    assert read_redrive(record.headers) is not None


def test_a_content_type_is_set_instead(connection, settings, vigie, model):
    headers = [("content-type", b"text/plain"), ("trace", b"1")]
    give_up(connection, settings, [dead_letter(GOOD[0], settings, headers=headers)])
    code, out, _ = vigie("redrive", "0:0", "--model", model)
    assert code == ExitCode.FAILURE
    assert "it would fail again: content-type" in out
    again = ["--model", model, "--set-content-type", "application/json"]
    assert vigie("redrive", "0:0", *again)[0] == ExitCode.OK
    (record,) = read_all(connection, settings.topics.readings)
    assert dict(record.headers)["content-type"] == b"application/json"
    assert dict(record.headers)["trace"] == b"1"


def test_what_cannot_go_back_stays_with_a_reason(connection, settings, vigie, tmp_path):
    cut = dead_letter(b"half of", settings)
    cut["headers"] = [*cut["headers"], (TRUNCATED, b"5000")]
    elsewhere = dead_letter(b"bad", settings)
    elsewhere["headers"] = [
        (name, b"no-such-topic" if name == "__connect.errors.topic" else value)
        for name, value in elsewhere["headers"]
    ]
    gone = dead_letter(b"bad", settings, partition=7)
    empty = dead_letter(b"", settings)
    nonsense = dead_letter(b"bad", settings)
    nonsense["headers"] = [
        (name, b"\x1b[2J /" if name == "__connect.errors.topic" else value)
        for name, value in nonsense["headers"]
    ]
    foreign = {"value": b"x"}
    give_up(connection, settings, [cut, elsewhere, gone, empty, nonsense, foreign])
    give_up(connection, settings, [dead_letter(b"bad", settings)])
    code, out, _ = vigie("redrive", "--all", "--json")
    assert code == ExitCode.FAILURE
    result = json.loads(out)
    assert result["sent"] == 1
    why = {one["first"]: one["reason"] for one in result["rejected"]}
    assert "cut short, 7 of 5,000 bytes" in why["0:0"]
    assert "no-such-topic does not exist" in why["0:1"]
    assert "partition 7 of" in why["0:2"]
    assert "holds no value" in why["0:3"]
    assert "does not exist" in why["0:4"]
    assert "not a dead letter" in why["0:5"]
    (tmp_path / "whole").write_bytes(GOOD[0])
    assert vigie("redrive", "0:0", "--with", str(tmp_path / "whole"))[0] == ExitCode.OK


def test_one_too_large_for_its_topic_stays_and_the_others_go(connection, make_topic, group, capsys):
    settings = make_settings(connection, make_topic, group, partitions=1)
    small = make_topic(**{"max.message.bytes": "2000"})
    settings = settings.model_copy(
        update={"topics": settings.topics.model_copy(update={"readings": small})}
    )
    sizes = (10, 1900, 20)
    give_up(connection, settings, [dead_letter(b"x" * size, settings) for size in sizes])
    code = cli.main(["dead-letters", "redrive", "--all", "--json", *where(settings)])
    assert code == ExitCode.FAILURE
    result = json.loads(capsys.readouterr().out)
    assert result["sent"] == 2
    assert "max.message.bytes" in result["rejected"][0]["reason"]
    assert result["rejected"][0]["first"] == "0:1"
    assert [len(record.value) for record in read_all(connection, small)] == [10, 20]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name places, or say --all"),
        (["0:0", "--all"], "one of the two"),
        (["0:0", "--since", "1h"], "go with --all"),
        (["--all", "--with", __file__], "one place"),
        (["0:0", "0:1", "--with", __file__], "one place"),
        (["0:0", "--with", "not-there"], "'not-there' does not exist"),
        (["0:0", "--set-content-type", "text/plain"], "is none of"),
        (["--all", "--since", "yesterday"], "an age"),
        (["--all", "--source", "topic:"], "TOPIC:PARTITION"),
        (["--all", "--source", ":3"], "TOPIC:PARTITION"),
        (["0"], "PARTITION:OFFSET"),
        (["0:-1"], "PARTITION:OFFSET"),
    ],
)
def test_a_contradiction_is_a_usage_error(vigie, arguments, words):
    code, _, err = vigie("redrive", *arguments)
    assert code == ExitCode.USAGE
    assert words in " ".join(err.replace("│", " ").split())


def test_a_redrive_that_fails_again_counts_its_attempts_up(connection, settings, vigie):
    """Through the stream and back, twice: a bad record stays bad, and its story grows."""
    topic = settings.topics.readings
    produce(connection, topic, [{"key": b"pump-1", "value": b"bad", "partition": 1}])
    with open_loop(settings, small_detector()) as loop:
        for attempt in (1, 2, 3):
            step_until(loop, lambda: records_done(loop) == attempt)  # noqa: B023
            letter = read_all(connection, settings.topics.dead_letters)[-1]
            assert read_dead_letter(letter.headers).offset == attempt - 1
            rows = lines(vigie("list", "--json")[1])
            assert [row["attempts"] for row in rows] == list(range(1, attempt + 1))
            assert vigie("redrive", f"0:{letter.offset}")[0] == ExitCode.OK
    story = read_redrive(read_all(connection, topic)[-1].headers)
    assert story is not None
    assert (story.attempt, story.source_offset, story.dead_letter_offset) == (3, 0, letter.offset)
    out = vigie("show", f"0:{letter.offset}")[1]
    assert "3; sent back" in out
    assert "partition 1, offset 0" in out


def test_a_repaired_reading_is_scored_after_its_redrive(connection, settings, vigie):
    """The plant engineer corrects `stream.channels`, and sends back what had failed."""
    topic = settings.topics.readings
    values = [value.replace(b"pressure", b"p") for value in GOOD]
    records = [{"key": b"pump-1", "value": value, "partition": 0} for value in values]
    produce(connection, topic, records)
    with open_loop(settings, small_detector()) as loop:
        step_until(loop, lambda: records_done(loop) == len(records))
        assert loop._counts[0].dead_lettered == len(records)
    repaired = settings.model_copy(
        update={"stream": settings.stream.model_copy(update={"channels": {"pressure": "p"}})}
    )
    with open_loop(repaired, small_detector()) as loop:
        assert vigie("redrive", "--all", "--yes", "--reason", "channel")[0] == ExitCode.OK
        step_until(loop, lambda: records_done(loop) == len(records))
        total = loop._counts[0]
    assert (total.dead_lettered, total.scored) == (0, len(records) - 7)
