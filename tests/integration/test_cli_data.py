"""`vigie train`, `backtest` and `status` on files and on a real topic."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from detector.artifact import load
from schemas.wire.deed import Deed, format_deed
from tests.support.broker import MakeTopic, produce
from tests.support.models import START_NS, encoded, plant_values
from tests.support.wishes import fault, forget
from workers.cli import main as cli
from workers.cli.exits import ExitCode
from workers.data.files import read_files
from workers.data.writer import open_readings
from workers.kafka.client import Connection

CHANNELS = ("flow", "pressure", "temperature")
SENSORS = ("pump-1", "pump-2")
QUICK = [
    "--detector",
    "plain",
    "--receptive-field",
    "8",
    "--latent-size",
    "4",
    "--max-steps",
    "200",
    "--device",
    "cpu",
]
SECOND_NS = 10**9


def write_readings(path: Path, rows: int, *, seed: int, faulty: slice | None = None) -> Path:
    """Two pumps, a reading a second; `faulty` rows of the first are shifted and labelled."""
    with open_readings(path, CHANNELS) as writer:
        for number, sensor in enumerate(SENSORS):
            values, labels = plant_values(rows, seed=seed + number), np.zeros(rows, np.int8)
            if faulty is not None and number == 0:
                values[faulty, 1] += 3.0
                labels[faulty] = 1
            writer.write(
                sensors=[sensor] * rows,
                ts_ns=START_NS + np.arange(rows, dtype=np.int64) * SECOND_NS,
                values=values,
                labels=labels,
            )
    return path


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backtest with labels draws a picture where it is called."""
    monkeypatch.chdir(tmp_path)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    """One command with --json."""
    capsys.readouterr()
    code = cli.main([*arguments, "--json"])
    output = capsys.readouterr()
    assert code == ExitCode.OK, output.err
    result: dict[str, object] = json.loads(output.out)
    return result


@pytest.fixture
def model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    train = write_readings(tmp_path / "train.parquet", 800, seed=1)
    run(capsys, "train", str(train), "-o", str(tmp_path / "model"), *QUICK)
    return tmp_path / "model"


def test_training_from_files_names_what_its_thresholds_promise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = write_readings(tmp_path / "train.csv", 800, seed=1, faulty=slice(100, 120))

    result = run(
        capsys, "train", str(train), "-o", str(tmp_path / "m"), "--budget", "5 per day",
        "--name", "pumps", *QUICK,
    )  # fmt: skip

    detector = load(tmp_path / "m", device="cpu")
    assert (detector.name, detector.channels, detector.receptive_field) == ("pumps", CHANNELS, 8)
    assert detector.identity.training["budget"] == {
        "false_alarms": 5.0, "per_s": 86_400.0, "scope": "sensor"
    }  # fmt: skip
    assert result["training"]["budget_basis"] == "hoped"  # type: ignore[index]
    assert "The smallest honest budget" in result["training"]["budget_warning"]  # type: ignore[index]
    assert result["left_out"] == {"labelled anomalous": {"pump-1": 20}}


def test_training_leaves_out_what_people_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = write_readings(tmp_path / "train.csv", 800, seed=1)
    at_s = START_NS // SECOND_NS
    wishes = [Deed(sensor="pump-1", wish=forget(1, at_s + 100, at_s + 119))]
    wishes.append(Deed(sensor="pump-2", wish=fault(2, start_ns=START_NS, end_ns=START_NS)))
    file = tmp_path / "deeds.jsonl"
    file.write_text("".join(format_deed(deed) + "\n" for deed in wishes))

    model = str(tmp_path / "m")
    result = run(capsys, "train", str(train), "-o", model, "--verdicts", str(file), *QUICK)

    assert result["left_out"] == {
        "of a period to forget": {"pump-1": 20},
        "of an incident that was a fault": {"pump-2": 1},
    }


def test_a_budget_in_other_words_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = write_readings(tmp_path / "train.csv", 10, seed=1)

    assert cli.main(["train", str(train), "--budget", "1 per fortnight"]) == ExitCode.USAGE

    assert "--budget: '1 per fortnight' is no budget" in capsys.readouterr().err


def test_columns_are_mapped_by_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = write_readings(tmp_path / "train.csv", 800, seed=1)

    run(
        capsys, "train", str(train), "-o", str(tmp_path / "m"), *QUICK,
        "--channel", "p=pressure", "--channel", "q=flow",
    )  # fmt: skip

    assert load(tmp_path / "m", device="cpu").channels == ("p", "q")


def test_the_summary_for_people_says_what_to_do_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = write_readings(tmp_path / "train.csv", 800, seed=1)

    assert cli.main(["train", str(train), "-o", str(tmp_path / "m"), *QUICK]) == ExitCode.OK

    assert "vigie backtest" in capsys.readouterr().out


def test_too_little_data_is_an_error_that_says_how_much_is_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = write_readings(tmp_path / "train.csv", 20, seed=1)

    assert cli.main(["train", str(train), "-o", str(tmp_path / "m")]) == ExitCode.FAILURE

    assert "consecutive readings" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["x.csv", "--topic-from", "2026-01-01T00:00:00Z"]])
def test_training_takes_files_or_a_topic_and_not_both(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", *arguments]) == ExitCode.USAGE
    assert "--topic-from" in capsys.readouterr().err


def test_a_backtest_finds_the_labelled_fault_and_writes_scores_and_a_picture(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test = write_readings(tmp_path / "test.csv", 400, seed=50, faulty=slice(200, 230))
    scores, plot = tmp_path / "scores.parquet", tmp_path / "plot.png"

    result = run(
        capsys, "backtest", str(test), "--model", str(model), "-o", str(scores),
        "--plot", str(plot),
    )  # fmt: skip

    evaluation = result["evaluation"]
    assert isinstance(evaluation, dict)
    assert evaluation["events"]["recall"] == 1.0
    assert evaluation["vus_pr"] > 0.5
    assert evaluation["median_delay_s"] <= 8
    assert plot.stat().st_size > 5_000
    rows = np.concatenate([one.values for one in read_files([scores]).sensors])
    score, flagged = rows[:, 0], rows[:, 1]
    known = np.isfinite(score)
    assert len(rows) == 800
    assert np.count_nonzero(known) == result["counts"]["scored"] == 800 - 2 * 7  # type: ignore[index]
    assert np.array_equal(flagged[known] == 1.0, score[known] >= 1.0)


def test_a_backtest_does_not_depend_on_how_rows_lie_in_files(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = write_readings(tmp_path / "whole.parquet", 300, seed=9)
    halves: list[str] = []
    for number, rows in enumerate((slice(0, 150), slice(150, 300))):
        path = tmp_path / f"half-{number}.parquet"
        with open_readings(path, CHANNELS) as writer:
            for rows_of in read_files([whole]).sensors:
                writer.write(
                    sensors=[rows_of.sensor] * 150,
                    ts_ns=rows_of.ts_ns[rows],
                    values=rows_of.values[rows],
                    labels=np.zeros(150, np.int8),
                )
        halves.insert(0, str(path))  # the later half first
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"

    run(capsys, "backtest", str(whole), "-m", str(model), "-o", str(one))
    run(capsys, "backtest", *halves, "-m", str(model), "-o", str(two))

    assert one.read_text() == two.read_text()


def test_a_file_without_a_channel_of_the_model_is_refused(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test = tmp_path / "test.csv"
    test.write_text("ts,flow\n2026-01-01T00:00:00Z,1\n")

    assert cli.main(["backtest", str(test), "-m", str(model)]) == ExitCode.FAILURE

    assert "pressure" in capsys.readouterr().err


@pytest.mark.kafka
def test_training_from_a_stretch_of_the_topic_sees_that_stretch_only(
    connection: Connection,
    make_topic: MakeTopic,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    topic = make_topic(partitions=2)
    values = {sensor: plant_values(900, seed=i) for i, sensor in enumerate(SENSORS)}
    records = [
        (sensor, START_NS + row * SECOND_NS, values[sensor][row])
        for row in range(900)
        for sensor in SENSORS
    ]
    sent = [
        {**one, "timestamp_ms": ts_ns // 1_000_000}
        for one, (_, ts_ns, _) in zip(encoded(records), records, strict=True)
    ]
    produce(connection, topic, [*sent, {"key": b"pump-1", "value": b"no reading"}])

    result = run(
        capsys, "train", "-o", str(tmp_path / "m"), *QUICK,
        "--bootstrap", connection.bootstrap, "--set", f"topics.readings={topic}",
        "--topic-from", "2023-11-14T22:15:00Z", "--topic-to", "2023-11-14T22:28:20Z",
    )  # fmt: skip

    training = result["training"]
    assert isinstance(training, dict)
    assert training["rows"] == 2 * 800
    assert result["channels"] == list(CHANNELS)
    assert result["left_out"] == {"rejected at decode": {"": 1}}


@pytest.mark.kafka
def test_training_leaves_out_what_the_stream_rejects(
    connection: Connection,
    make_topic: MakeTopic,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A reading of the year 2255 would otherwise make all that follows of its sensor late."""
    topic = make_topic()
    values = plant_values(800, seed=0)
    times_ns = [9 * 10**18, *(START_NS + row * SECOND_NS for row in range(800))]
    records = [(SENSORS[0], ts_ns, values[i - 1]) for i, ts_ns in enumerate(times_ns)]
    now = {"timestamp_ms": START_NS // 1_000_000}
    produce(connection, topic, [{**one, **now} for one in encoded(records)])
    arguments = [
        "train", "-o", str(tmp_path / "m"), *QUICK, "--bootstrap", connection.bootstrap,
        "--set", f"topics.readings={topic}", "--topic-from", "2023-11-14T22:13:20Z",
    ]  # fmt: skip

    result = run(capsys, *arguments)

    assert result["training"]["rows"] == 800  # type: ignore[index]
    assert result["left_out"] == {"rejected at clock": {"": 1}}
    assert cli.main(arguments) == ExitCode.OK
    assert "rejected at clock" in capsys.readouterr().out


@pytest.mark.kafka
@pytest.mark.parametrize(("good", "said"), [(2, "9 were rejected at schema"), (0, "can be used")])
def test_training_says_why_records_of_a_topic_cannot_be_used(
    connection: Connection,
    make_topic: MakeTopic,
    capsys: pytest.CaptureFixture[str],
    good: int,
    said: str,
) -> None:
    topic = make_topic()
    now = {"timestamp_ms": START_NS // 1_000_000}
    values = plant_values(2, seed=0)
    records = [(SENSORS[0], START_NS + i * SECOND_NS, values[i]) for i in range(good)]
    text = b'{"sensor_id": "a", "ts": %d, "values": {"%s": "1.5"}}' % (
        START_NS // 1_000_000,
        CHANNELS[0].encode(),
    )
    bad = [{"key": b"a", "value": text}] * 9
    produce(connection, topic, [{**one, **now} for one in [*encoded(records), *bad]])

    code = cli.main(
        ["train", "--bootstrap", connection.bootstrap, "--set", f"topics.readings={topic}",
         "--topic-from", "2023-11-14T22:13:20Z", "--channel", CHANNELS[0]]
    )  # fmt: skip

    told = " ".join(capsys.readouterr().err.split())
    assert code == ExitCode.FAILURE
    assert said in told
    assert "must be a finite number" in told
    assert "vigie inspect" not in told


@pytest.mark.kafka
def test_a_stretch_without_readings_is_an_error(
    connection: Connection, make_topic: MakeTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = make_topic()
    code = cli.main(
        ["train", "--bootstrap", connection.bootstrap, "--set", f"topics.readings={topic}",
         "--topic-from", "2026-01-01T00:00:00Z"]
    )  # fmt: skip

    assert code == ExitCode.FAILURE
    assert topic in capsys.readouterr().err


@pytest.mark.kafka
def test_status_of_a_stream_that_nobody_reads_yet(
    connection: Connection,
    make_topic: MakeTopic,
    group: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    topic = make_topic(partitions=2)
    produce(connection, topic, [{"key": b"a", "value": b"1"}] * 3)

    result = run(
        capsys, "status", "--bootstrap", connection.bootstrap, "--group", group,
        "--set", f"topics.readings={topic}",
    )  # fmt: skip

    assert result["group"] == {"name": group, "state": "Unknown", "members": []}
    assert result["lag_records"] == 3
    (readings,) = (one for one in result["topics"] if one["name"] == topic)  # type: ignore[attr-defined]
    assert (readings["partitions"], readings["records"]) == (2, 3)


@pytest.mark.kafka
def test_status_without_a_broker_ends_with_its_own_code(
    free_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.main(["status", "--bootstrap", f"127.0.0.1:{free_port}"])

    assert code == ExitCode.BROKER_UNAVAILABLE
    assert str(free_port) in capsys.readouterr().err
