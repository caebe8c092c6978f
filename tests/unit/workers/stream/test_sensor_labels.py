"""Labels of sensors: what a file may hold, and what becomes of it while a run goes on."""

from __future__ import annotations

import os
import pickle

import pytest
from structlog.testing import capture_logs

from schemas.wire.limits import MAX_LABEL_CHARS, MAX_LABELS
from tests.support.clock import FakeClock
from workers.errors import SettingsError
from workers.stream import sensor_labels
from workers.stream.sensor_labels import SensorLabels, read_labels

CSV = "sensor_id,site,line\npump-1,north,2\n"
PUMP_1 = {"site": "north", "line": "2"}


def write(path, text):
    """Replace a file as an editor does; its time of change moves on by a second."""
    before = path.stat().st_mtime if path.exists() else 1_700_000_000
    path.write_text(text, encoding="utf-8")
    os.utime(path, (before + 1, before + 1))
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sensors.csv", CSV),
        ("sensors.csv", "\ufeff" + CSV),
        ("sensors.CSV", "sensor_id, site , line\r\n\r\n pump-1 , north , 2 \r\n"),
        ("sensors.csv", 'sensor_id,site,asset,line\npump-1,"north",,2\n'),
        ("sensors.json", '{"pump-1": {"site": "north", "line": "2"}}'),
    ],
)
def test_labels_are_read_by_sensor(tmp_path, name, text):
    assert read_labels(write(tmp_path / name, text)) == {"pump-1": PUMP_1}


@pytest.mark.parametrize("text", ["sensor_id\n", "sensor_id,site\npump-1,\n"])
def test_a_sensor_may_have_no_labels(tmp_path, text):
    assert not any(read_labels(write(tmp_path / "sensors.csv", text)).values())


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("s.csv", "", "line 1 must name sensor_id first"),
        ("s.csv", "sensor_id;site\npump-1;north\n", "line 1 must name sensor_id first"),
        ("s.csv", "site,sensor_id\nnorth,pump-1\n", "line 1 must name sensor_id first"),
        ("s.csv", "sensor_id,site,site\n", "each label once"),
        ("s.csv", CSV + "pump-2,north\n", "line 3 has 2 cells, the first line has 3"),
        ("s.csv", CSV + "\npump-1,south,1\n", "line 4 names 'pump-1' a second time"),
        ("s.csv", CSV + ",south,1\n", "line 3 is wrong"),
        ("s.csv", CSV + f"pump-2,{'x' * (MAX_LABEL_CHARS + 1)},1\n", "line 3 is wrong"),
        ("s.csv", CSV + 'pump-2,"open,1\n', "line 3 is no CSV"),
        ("s.csv", ",".join(["sensor_id", *map(str, range(MAX_LABELS + 1))]) + "\np" + ",x" *
         (MAX_LABELS + 1), "line 2 is wrong"),
        ("s.json", '{"pump-1": {"site":\n\n}}', "line 3 is no JSON"),
        ("s.json", '{"a": {},\n "pump-1": {"line": 2}}', "line 2 is wrong at 'pump-1, line'"),
        ("s.json", '{"pump-1": "north"}', "line 1 is wrong at 'pump-1'"),
        ("s.json", "[]", "line 1 is wrong"),
        ("s.json", "[" * 100_000, "line 1 opens too many brackets"),
        ("s.json", '{"a": ' + "9" * 5_000 + "}", "line 1 is no JSON that can be read"),
        ("s.toml", "", "must end in .csv or .json"),
    ],
)  # fmt: skip
def test_a_broken_file_is_an_error_that_names_the_line(tmp_path, name, text, told):
    path = write(tmp_path / name, text)
    with pytest.raises(SettingsError) as error:
        read_labels(path)
    assert told in str(error.value)
    assert f"sensors.path: {path}" in str(error.value)


def test_a_file_that_is_missing_not_text_or_too_large_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(SettingsError, match="No such file"):
        SensorLabels.of_file(tmp_path / "sensors.csv")
    (tmp_path / "latin.csv").write_bytes(b"sensor_id,site\npump-1,M\xfcnchen\n")
    with pytest.raises(SettingsError, match="line 2 is not UTF-8"):
        read_labels(tmp_path / "latin.csv")
    monkeypatch.setattr(sensor_labels, "MAX_FILE_BYTES", 10)
    with pytest.raises(SettingsError, match="larger than 10 bytes"):
        read_labels(write(tmp_path / "large.csv", CSV))


def make_labels(path):
    """Labels of a file as a worker holds them, and its clock."""
    clock = FakeClock(now_s=50.0)
    labels = pickle.loads(pickle.dumps(SensorLabels.of_file(path)))
    labels.monotonic_s = clock
    return labels, clock


def test_without_a_file_no_sensor_has_labels():
    assert SensorLabels.of_file(None).of("pump-1") == {}


def test_a_changed_file_is_read_again_after_a_second_at_most(tmp_path):
    path = write(tmp_path / "sensors.csv", CSV)
    labels, clock = make_labels(path)
    assert (labels.of("pump-1"), labels.of("pump-2")) == (PUMP_1, {})

    write(path, CSV + "pump-2,south,1\n")
    clock.advance(0.9)
    assert labels.of("pump-2") == {}
    clock.advance(0.1)
    assert labels.of("pump-2") == {"site": "south", "line": "1"}


@pytest.mark.parametrize("damage", ["break", "remove"])
def test_a_file_that_becomes_broken_is_one_warning_and_the_labels_stay(tmp_path, damage):
    path = write(tmp_path / "sensors.csv", CSV)
    labels, clock = make_labels(path)
    labels.of("pump-1")
    if damage == "break":
        write(path, "nonsense")
    else:
        path.unlink()

    with capture_logs() as logs:
        for _ in range(5):
            clock.advance(1.0)
            assert labels.of("pump-1") == PUMP_1
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("sensor_labels_kept", "warning")
    ]
    assert str(path) in logs[0]["reason"]

    write(path, CSV.replace("north", "south"))
    clock.advance(1.0)
    assert labels.of("pump-1")["site"] == "south"


def test_a_worker_that_cannot_see_the_file_has_the_labels_of_the_start(tmp_path):
    path = write(tmp_path / "sensors.csv", CSV)
    labels, _ = make_labels(path)
    path.unlink()
    assert labels.of("pump-1") == PUMP_1


def test_a_file_that_stays_as_it_is_is_read_once(tmp_path, monkeypatch):
    labels, clock = make_labels(write(tmp_path / "sensors.csv", CSV))
    reads = []

    def counted(path):
        reads.append(path)
        return {"pump-1": PUMP_1}

    monkeypatch.setattr(sensor_labels, "read_labels", counted)
    for _ in range(5):
        clock.advance(1.0)
        labels.of("pump-1")
    assert len(reads) == 1
