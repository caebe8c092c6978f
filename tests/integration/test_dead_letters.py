"""`vigie dead-letters list` and `show` on a real broker: what is there, and why."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from detector.artifact import save
from schemas.settings import Settings
from tests.support.broker import MakeTopic
from tests.support.dead_letters import (
    WRONG_NAMES,
    Command,
    dead_letter,
    give_up,
    lines,
    make_command,
    where,
)
from tests.support.models import small_detector
from tests.support.streams import make_settings
from workers.cli import main as cli
from workers.cli.exits import ExitCode
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


# -- list ------------------------------------------------------------------------------------------


def test_a_list_names_place_source_and_reason(connection, settings, vigie):
    give_up(
        connection,
        settings,
        [
            dead_letter(b"not json", settings, offset=5),
            dead_letter(WRONG_NAMES, settings, offset=9),
        ],
    )
    code, out, _ = vigie("list")
    assert code == ExitCode.OK
    for words in ("0:0", "0:1", f"{settings.topics.readings}:0:9", "missing channel pressure",
                  "decode", "channels", "2 dead letters in"):  # fmt: skip
        assert words in out


def test_json_is_a_line_each_and_takes_the_filters(connection, settings, vigie):
    give_up(
        connection,
        settings,
        [
            dead_letter(b"not json", settings, offset=5),
            dead_letter(WRONG_NAMES, settings, offset=9, partition=1),
            dead_letter(b"[]", settings, offset=7, partition=1),
        ],
    )

    def places(*filters: str) -> list[str]:
        code, out, _ = vigie("list", "--json", *filters)
        assert code == ExitCode.OK
        return [line["place"] for line in lines(out)]

    readings = settings.topics.readings
    assert places() == ["0:0", "0:1", "0:2"]
    assert places("--reason", "CHANNEL pressure") == ["0:1"]
    assert places("--source", f"{readings}:1") == ["0:1", "0:2"]
    assert places("--source", readings, "--reason", "decode") == ["0:0"]
    assert places("--source", "elsewhere") == []
    assert places("--since", "1h") == ["0:0", "0:1", "0:2"]
    assert places("--since", "2100-01-01T00:00:00Z") == []
    assert places("--limit", "2") == ["0:1", "0:2"]
    (line, *_) = lines(vigie("list", "--json")[1])
    assert line["source"] == {"topic": readings, "partition": 0, "offset": 5}
    assert (line["stage"], line["bytes"], line["attempts"], line["key"]) == (
        "decode", 8, 1, "pump-1",
    )  # fmt: skip


def test_since_is_when_the_record_was_given_up(connection, settings, vigie):
    old = dead_letter(b"old", settings) | {"timestamp_ms": 1_700_000_000_000}
    give_up(connection, settings, [old, dead_letter(b"new", settings)])
    out = vigie("list", "--json", "--since", "2024-01-01T00:00:00Z")[1]
    assert [line["place"] for line in lines(out)] == ["0:1"]


def test_a_list_counts_what_matches_by_stage(connection, settings, vigie):
    bad = [dead_letter(f"nothing {n}".encode(), settings, offset=n) for n in range(7)]
    give_up(connection, settings, [*bad, dead_letter(WRONG_NAMES, settings, offset=9)])
    out = vigie("list", "--limit", "2")[1]
    assert "8 dead letters in" in out
    assert "(the 2 newest are listed): 7 decode, 1 channels" in out
    places = {line.split()[0] for line in out.splitlines() if line.split()}
    assert "0:6" in places
    assert "0:5" not in places


def test_escape_sequences_never_reach_the_terminal(connection, settings, vigie):
    evil = b"\x1b]0;owned\x07\x1b[31m\xe2\x80\xae"
    letter = dead_letter(evil, settings, key=evil, headers=[("trace", evil), ("\x1b[2J", b"")])
    foreign = {"key": evil, "value": evil, "headers": [("__connect.errors.topic", evil)]}
    give_up(connection, settings, [letter, foreign])
    for arguments in (
        ["list"], ["list", "--json"],
        ["show", "0:0"], ["show", "0:1"], ["show", "0:0", "--json"],
        ["redrive", "--all", "--dry-run"],
    ):  # fmt: skip
        _, out, err = vigie(*arguments)
        assert not [c for c in out + err if not c.isprintable() and c != "\n"], arguments


def test_a_record_of_another_program_is_listed_as_such(connection, settings, vigie):
    give_up(connection, settings, [{"value": b"x", "headers": [("content-type", b"y")]}])
    (line,) = lines(vigie("list", "--json")[1])
    assert (line["stage"], line["source"]) == ("?", None)
    assert "__connect.errors.topic is missing" in line["reason"]


def test_an_empty_topic_is_no_error(vigie):
    code, out, _ = vigie("list")
    assert code == ExitCode.OK
    assert "No dead letters" in out


def test_a_topic_that_is_not_there_is_told(settings, capsys):
    code = cli.main(
        ["dead-letters", "list", "--bootstrap", settings.kafka.bootstrap, "--topic", "nowhere"]
    )
    assert code == ExitCode.USAGE
    assert "vigie topics create" in capsys.readouterr().err


# -- show ------------------------------------------------------------------------------------------


def test_show_tells_everything_and_what_would_happen_today(connection, settings, vigie, model):
    headers = [("trace", b"\xff\x00"), ("plant", b"north")]
    give_up(connection, settings, [dead_letter(WRONG_NAMES, settings, offset=9, headers=headers)])
    code, out, _ = vigie("show", "0:0")
    assert code == ExitCode.OK
    for words in ("offset 9", "channels (ChannelMismatchError)", "plant: north", r"trace: \xff\x00",
                  "pump-1", '"p":', "give --model"):  # fmt: skip
        assert words in out
    assert "would fail again: channels" in vigie("show", "0:0", "--model", model)[1]
    repaired = ["--model", model, "--set", "stream.channels.pressure=p"]
    assert "would be read: 1 reading of pump-1" in vigie("show", "0:0", *repaired)[1]
    document = json.loads(vigie("show", "0:0", "--json", *repaired)[1])
    assert document["today"]["readable"] is True
    assert document["value"] == WRONG_NAMES.decode()
    assert document["headers"][:2] == [["trace", "\\xff\x00"], ["plant", "north"]]


def test_show_escapes_what_is_no_text_and_the_bytes_go_to_a_file(
    connection, settings, vigie, tmp_path
):
    value = b"\x00\x01ARROW\xff" * 40
    give_up(connection, settings, [dead_letter(value, settings)])
    out = vigie("show", "0:0", "--bytes", "32", "--output", str(tmp_path / "raw"))[1]
    assert r"\x00\x01ARROW\xff" * 4 + "\n" in out
    assert "288 more bytes" in out
    assert (tmp_path / "raw").read_bytes() == value
    document = json.loads(vigie("show", "0:0", "--json")[1])
    assert document["value"] is None
    assert document["value_base64"].startswith("AAFBUlJPV/8")


@pytest.mark.parametrize(
    ("place", "words"),
    [("0:77", "holds offsets 0 to 0 now"), ("9:0", "no partition 9; it has 0")],
)
def test_a_place_without_a_dead_letter_is_told(connection, settings, vigie, place, words):
    give_up(connection, settings, [dead_letter(b"x", settings)])
    code, _, err = vigie("show", place)
    assert code == ExitCode.FAILURE
    assert words in err


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_reading_does_not_hold_the_topic_in_memory(connection, settings):
    """60 letters of 1 MB pass through a process that may grow by much less than their sum."""
    give_up(
        connection, settings, [dead_letter(b"x" * 1_000_000, settings, offset=n) for n in range(60)]
    )
    # Not getrusage: its peak begins with that of the process that started this one.
    watch = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from workers.cli import main as cli\n"
        "code = cli.main(sys.argv[1:])\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', status)[1], file=sys.stderr)\n"
        "sys.exit(code)\n"
    )

    def peak_mb(words: str, *arguments: str) -> float:
        ended = subprocess.run(
            [sys.executable, "-c", watch, "dead-letters", "list", *arguments, *where(settings)],
            capture_output=True, check=True, text=True, timeout=120,
        )  # fmt: skip
        assert words in ended.stdout
        return int(ended.stderr.splitlines()[-1]) / 1000

    nothing = peak_mb("No dead letters", "--since", "2100-01-01T00:00:00Z")
    assert peak_mb("60 dead letters", "--limit", "60") - nothing < 60
