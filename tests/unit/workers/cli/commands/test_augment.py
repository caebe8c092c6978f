"""`vigie augment`: what it makes of labelled files, what it says of them, what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from detector.artifact import save
from detector.signal.series import true_runs
from tests.support.models import CHANNELS, START_NS, plant_values, small_detector
from workers.cli import main as cli
from workers.data.files import read_files
from workers.data.layout import load_layout, make_layout

R = 8
ROWS = 200
SPANS = {"leak": (40, 81), "cavitation": (120, 140), "knock": (160, 165)}
"""41 rows are five windows and a rest of one; 20 are two and four; 5 are none."""


def kinds() -> list[str | None]:
    """The class of each row of a sensor: normal, with three faults, and three rows of none."""
    found: list[str | None] = ["normal"] * ROWS
    for kind, (start, end) in SPANS.items():
        found[start:end] = [kind] * (end - start)
    return [*found[:-3], None, None, None]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model") / "m"
    save(small_detector(), folder)
    return str(folder)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    values = np.concatenate([plant_values(ROWS, seed=seed, phase=seed) for seed in range(2)])
    table = pa.table(
        {
            "ts": pa.array(
                np.tile(START_NS + np.arange(ROWS) * 10**9, 2), pa.timestamp("ns", "UTC")
            ),
            "sensor_id": ["s0"] * ROWS + ["s1"] * ROWS,
            **dict(zip(CHANNELS, values.T, strict=True)),
            "kind": kinds() * 2,
        }
    )
    pq.write_table(table, "faults.parquet")
    return "faults.parquet"


@pytest.fixture
def augment(
    model: str, file: str, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.main(["augment", file, "-m", model, "-o", "more.parquet", *arguments])
        output = capsys.readouterr()
        return code, output.out, " ".join(output.err.split())

    return run


KINDS = ("--label-column", "kind")


def read(name: str = "more.parquet") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(name).to_pylist()
    return rows


def made_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["method"] is not None]


def test_it_says_of_each_class_what_was_used_made_and_left_out(augment: Any) -> None:
    code, out, _ = augment(*KINDS, "--factor", "3", "--json")

    said = json.loads(out)
    classes = {one["label"]: one for one in said["classes"]}
    assert code == 0
    assert {name: one["windows_used"] for name, one in classes.items()} == {
        "cavitation": 4, "knock": 0, "leak": 10, "normal": 30,
    }  # fmt: skip
    assert {name: one["windows_made"] for name, one in classes.items()} == {
        "cavitation": 8, "knock": 0, "leak": 20, "normal": 60,
    }  # fmt: skip
    assert classes["leak"]["rows_left_out"] == {
        "at the end of a stretch, too few for another window": 2
    }
    assert classes["knock"]["rows_left_out"] == {
        "in stretches of one label shorter than a window": 10
    }
    assert said["rows_without_class"] == {"without a label": 6}


def test_what_was_read_comes_first_unchanged_then_what_was_made(augment: Any, file: str) -> None:
    augment(*KINDS, "--count", "6")

    before, rows = read(file), read()
    kept = [{name: row[name] for name in before[0]} for row in rows[: len(before)]]
    assert kept == before
    assert all(row["method"] is None for row in rows[: len(before)])
    assert len(rows) == len(before) + 3 * 6 * R
    assert len(made_of(rows)) == 3 * 6 * R


def test_no_source_of_a_made_window_is_of_another_class(augment: Any) -> None:
    augment(*KINDS, "--count", "40")

    label_at = {(sensor, row): kind for sensor in ("s0", "s1") for row, kind in enumerate(kinds())}
    for row in made_of(read()):
        for source in filter(None, (row["source"], row["source_2"])):
            sensor, _, time = source.partition("@")
            first = int(np.datetime64(time.removesuffix("Z"), "ns").astype(np.int64)) - START_NS
            own = {label_at[sensor, first // 10**9 + place] for place in range(R)}
            assert own == {row["kind"]}


def test_provenance_says_how_each_window_was_made(augment: Any) -> None:
    augment(*KINDS, "--normal", "normal", "--count", "8")

    rows = made_of(read())
    assert {row["method"] for row in rows} == {"neighbours", "interpolate", "sample", "transfer"}
    mixed = [row for row in rows if row["method"] == "interpolate"]
    assert all(0 <= row["weight"] < 1 and row["source_2"] for row in mixed)
    assert all(row["weight"] is None for row in rows if row["method"] != "interpolate")
    assert all(row["radius"] >= 0 for row in rows)


def test_a_window_that_was_made_is_alone_behind_a_gap(augment: Any) -> None:
    augment(*KINDS, "--count", "8")

    table = pq.read_table("more.parquet")
    times = table.column("ts").cast(pa.int64()).to_numpy()
    sensors = np.array(table.column("sensor_id").to_pylist())
    for sensor in ("s0+leak", "s1+leak"):
        steps = np.diff(times[sensors == sensor])
        longest = small_detector().max_gap_s * 1e9
        together = true_runs(steps <= longest)
        assert {end - start for start, end in together.tolist()} == {R - 1}


def test_its_layout_lets_other_commands_read_it(augment: Any) -> None:
    augment(*KINDS, "--normal", "normal", "--count", "12")

    history = read_files([Path("more.parquet")], make_layout(load_layout(Path("more.layout.toml"))))
    labelled = {
        one.sensor: bool(one.labels is not None and one.labels.all()) for one in history.sensors
    }
    assert history.channels == CHANNELS
    assert labelled["s0+leak"]
    assert not labelled["s0+normal"]
    assert sum(map(len, history.sensors)) == len(read())


def test_the_same_seed_makes_the_same_file(augment: Any) -> None:
    tables = []
    for seed in ("1", "1", "2"):
        augment(*KINDS, "--count", "4", "--seed", seed)
        tables.append(pq.read_table("more.parquet"))

    assert tables[0].equals(tables[1])
    assert not tables[0].equals(tables[2])


def test_without_a_label_column_all_rows_are_of_one_class(augment: Any) -> None:
    code, out, _ = augment("--method", "interpolate", "--json")

    (only,) = json.loads(out)["classes"]
    assert code == 0
    assert (only["label"], only["windows_used"], only["windows_made"]) == ("", 50, 50)
    assert "kind" not in read()[0]
    assert {row["sensor_id"] for row in made_of(read())} == {"s0+made", "s1+made"}


def test_csv_holds_the_same_as_parquet(augment: Any) -> None:
    augment(*KINDS, "--count", "4")
    parquet = read_files([Path("more.parquet")], make_layout(load_layout(Path("more.layout.toml"))))
    augment(*KINDS, "--count", "4", "-o", "more.csv")
    csv = read_files([Path("more.csv")], make_layout(load_layout(Path("more.layout.toml"))))

    for one, other in zip(parquet.sensors, csv.sensors, strict=True):
        assert np.array_equal(one.ts_ns, other.ts_ns)
        assert np.allclose(one.values, other.values)


def source(sensor: str, row: int) -> tuple[str, str]:
    return "--source", f"{sensor}@{np.datetime64(START_NS // 10**9 + row, 's')}Z"


def test_named_windows_of_one_class_alone_are_used(augment: Any) -> None:
    code, out, _ = augment(*KINDS, *source("s0", 42), *source("s1", 50), "--count", "6", "--json")

    (only,) = json.loads(out)["classes"]
    assert (code, only["label"], only["windows_used"], only["windows_made"]) == (0, "leak", 2, 6)
    assert {row["source"] for row in made_of(read())} == {
        source("s0", 42)[1], source("s1", 50)[1]
    }  # fmt: skip


def test_named_windows_of_two_classes_are_refused(augment: Any) -> None:
    code, _, err = augment(*KINDS, *source("s0", 42), *source("s1", 122))

    assert code == 2
    assert "never of several: got 'cavitation' and 'leak'" in err.replace("│ ", "")
    assert not Path("more.parquet").exists()


def test_a_named_window_that_spans_two_labels_is_refused(augment: Any) -> None:
    code, _, err = augment(*KINDS, *source("s0", 38))

    assert code == 2
    assert "spans several labels ('leak' and 'normal')" in err.replace("│ ", "")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--label-column", "sort"), 1, "there is no column 'sort'"),
        (("--label-column", "flow"), 1, "holds more than 64 different words"),
        ((*KINDS, "--normal", "fine"), 2, "no row is labelled 'fine'"),
        ((*KINDS, "--method", "transfer"), 2, "name the class of normal operation"),
        ((*KINDS, "--count", "1", "--factor", "2"), 2, "give one of them"),
        ((*KINDS, "--source", "s9@2023-11-14T22:13:20Z"), 1, "there is no sensor 's9'"),
        ((*KINDS, "--source", "s0@2023-11-14T22:13:20.5Z"), 1, "has no row at this time"),
        ((*KINDS, *source("s0", ROWS - 4)), 1, "fewer than 8 rows follow"),
        ((*KINDS, *source("s0", ROWS - 8)), 2, "spans several labels"),
    ],
)
def test_what_cannot_be_done_is_said(
    augment: Any, arguments: tuple[str, ...], code: int, words: str
) -> None:
    ended, _, err = augment(*arguments)

    assert ended == code
    assert words in err.replace("│ ", "")


def test_for_people_there_is_a_line_a_class(augment: Any) -> None:
    _, out, _ = augment(*KINDS)

    said = " ".join(out.split())
    assert "leak 10 10 2 rows at the end of a stretch" in said
    assert "knock 0 0 10 rows in stretches of one label shorter than a window" in said
    assert "6 rows without a label" in said
    assert "set: more.parquet layout: more.layout.toml" in said
