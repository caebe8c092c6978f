"""`vigie augment`: what it makes of labelled files, what it says of them, what it refuses."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from detector.artifact import save
from detector.signal.series import true_runs
from tests.support.models import CHANNELS, START_NS, plant_values, small_detector
from workers.backtest.backtest import read_for
from workers.cli import main as cli
from workers.data.files import read_files
from workers.data.layout import load_layout, make_layout
from workers.latent.windows import Place, one_window

R = 8
ROWS = 200
SPANS = {"leak": (40, 81), "knock": (160, 165)}
"""41 rows are five windows and a rest of one; 5 are none."""
KINDS = ("--label-column", "kind")
ALL = ("--method", "all", "--normal", "normal", "--count", "12")


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def classes(self) -> dict[str, dict[str, Any]]:
        return {one["label"]: one for one in json.loads(self.out)["classes"]}


def kinds() -> list[str | None]:
    """The class of each row of a sensor: normal, with two faults, and three rows of none."""
    found: list[str | None] = ["normal"] * ROWS
    for kind, (start, end) in SPANS.items():
        found[start:end] = [kind] * (end - start)
    return [*found[:-3], None, None, None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and a file of two sensors."""
    made = tmp_path_factory.mktemp("augment")
    save(small_detector(), made / "model")
    values = np.concatenate([plant_values(ROWS, seed=seed, phase=seed) for seed in range(2)])
    times = np.tile(START_NS + np.arange(ROWS) * 10**9, 2)
    columns = {
        "ts": pa.array(times, pa.timestamp("ns", "UTC")),
        "sensor_id": ["s0"] * ROWS + ["s1"] * ROWS,
        **dict(zip(CHANNELS, values.T, strict=True)),
        "kind": kinds() * 2,
    }
    pq.write_table(pa.table(columns), made / "faults.parquet")
    return made


@pytest.fixture(scope="module")
def augment(folder: Path) -> Callable[..., Ran]:
    def run(*arguments: str, out: str = "other.parquet") -> Ran:
        given = (str(folder / "faults.parquet"), "-m", str(folder / "model"))
        with redirect_stdout(io.StringIO()) as said, redirect_stderr(io.StringIO()) as warned:
            code = cli.main(["augment", *given, "-o", str(folder / out), *arguments])
        err = " ".join(warned.getvalue().replace("│", " ").split())
        return Ran(code, said.getvalue(), err)

    return run


@pytest.fixture(scope="module")
def ran(augment: Callable[..., Ran]) -> Ran:
    """The run whose file most tests look at."""
    return augment(*KINDS, *ALL, "--json", out="more.parquet")


@pytest.fixture(scope="module")
def rows(ran: Ran, folder: Path) -> list[dict[str, Any]]:
    assert ran.code == 0
    found: list[dict[str, Any]] = pq.read_table(folder / "more.parquet").to_pylist()
    return found


def made_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["method"] is not None]


def test_it_says_of_each_class_what_was_used_made_and_left_out(ran: Ran) -> None:
    used = {name: one["windows_used"] for name, one in ran.classes.items()}
    made = {name: one["windows_made"] for name, one in ran.classes.items()}

    assert used == {"knock": 0, "leak": 10, "normal": 36}
    assert made == {"knock": 0, "leak": 12, "normal": 12}
    assert ran.classes["leak"]["rows_left_out"] == {
        "at the end of a stretch, too few for another window": 2
    }
    assert ran.classes["knock"]["rows_left_out"] == {
        "in stretches of one label shorter than a window": 10
    }
    assert json.loads(ran.out)["rows_without_class"] == {"without a label": 6}


def test_what_was_read_comes_first_unchanged_then_what_was_made(
    rows: list[dict[str, Any]], folder: Path
) -> None:
    before = pq.read_table(folder / "faults.parquet").to_pylist()

    kept = [{name: row[name] for name in before[0]} for row in rows[: len(before)]]
    assert kept == before
    assert all(row["method"] is None for row in rows[: len(before)])
    assert len(rows) - len(before) == len(made_of(rows)) == 2 * 12 * R


def test_no_source_of_a_made_window_is_of_another_class(rows: list[dict[str, Any]]) -> None:
    label_at = {(sensor, row): kind for sensor in ("s0", "s1") for row, kind in enumerate(kinds())}
    for row in made_of(rows):
        for source in filter(None, (row["source"], row["source_2"])):
            sensor, _, time = source.partition("@")
            last = int(np.datetime64(time.removesuffix("Z"), "ns").astype(np.int64)) - START_NS
            own = {label_at[sensor, last // 10**9 - place] for place in range(R)}
            assert own == {row["kind"]}


def test_provenance_says_how_each_window_was_made(rows: list[dict[str, Any]]) -> None:
    made = made_of(rows)
    mixed = [row for row in made if row["method"] == "interpolate"]

    assert {row["method"] for row in made} == {"neighbours", "interpolate", "sample", "transfer"}
    assert all(0 <= row["weight"] < 1 and row["source_2"] for row in mixed)
    assert all(row["weight"] is None for row in made if row["method"] != "interpolate")
    assert all(row["radius"] >= 0 for row in made)


def test_a_window_that_was_made_is_alone_between_gaps(rows: list[dict[str, Any]]) -> None:
    longest_s = small_detector().max_gap_s
    for sensor in {row["sensor_id"] for row in made_of(rows)}:
        steps = np.diff([row["ts"].timestamp() for row in rows if row["sensor_id"] == sensor])
        together = true_runs(steps <= longest_s)
        assert {end - start for start, end in together.tolist()} == {R - 1}


def test_its_layout_lets_other_commands_read_it(rows: list[dict[str, Any]], folder: Path) -> None:
    layout = make_layout(load_layout(folder / "more.layout.toml"))
    history = read_files([folder / "more.parquet"], layout)

    faulty = {s.sensor: bool(s.labels is not None and s.labels.all()) for s in history.sensors}
    assert history.channels == CHANNELS
    assert (faulty["s0+leak"], faulty["s0+normal"]) == (True, False)
    assert sum(map(len, history.sensors)) == len(rows)


def test_csv_holds_the_same_as_parquet_and_the_same_seed_makes_it_again(
    ran: Ran, augment: Callable[..., Ran], folder: Path
) -> None:
    assert ran.code == 0
    augment(*KINDS, *ALL, out="again.csv")
    parquet, csv = (
        read_files([folder / name], make_layout(load_layout(folder / "more.layout.toml")))
        for name in ("more.parquet", "again.csv")
    )

    for one, other in zip(parquet.sensors, csv.sensors, strict=True):
        assert np.array_equal(one.ts_ns, other.ts_ns)
        assert np.allclose(one.values, other.values)


def test_without_a_label_column_all_rows_are_of_one_class(
    augment: Callable[..., Ran], folder: Path
) -> None:
    ran = augment("--json")
    rows = pq.read_table(folder / "other.parquet").to_pylist()

    assert {n: (one["windows_used"], one["windows_made"]) for n, one in ran.classes.items()} == {
        "": (50, 50)
    }
    assert "kind" not in rows[0]
    assert {row["sensor_id"] for row in made_of(rows)} == {"s0+made", "s1+made"}


def source(sensor: str, row: int) -> tuple[str, str]:
    """The window whose last row it is."""
    return "--source", f"{sensor}@{np.datetime64(START_NS // 10**9 + row, 's')}Z"


def test_named_windows_of_one_class_alone_are_used(
    augment: Callable[..., Ran], folder: Path
) -> None:
    sources = (source("s0", 49), source("s1", 57))
    plot = folder / "made.png"
    ran = augment(*KINDS, *sources[0], *sources[1], "--count", "6", "--plot", str(plot))

    said = " ".join(ran.out.split())
    rows = made_of(pq.read_table(folder / "other.parquet").to_pylist())
    assert "leak 2 6 2 rows at the end of a stretch, too few for another window" in said
    assert "6 rows without a label" in said
    assert {row["source"] for row in rows} == {name for _, name in sources}
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_source_names_the_window_that_it_names_in_the_latent_commands(
    augment: Callable[..., Ran], folder: Path
) -> None:
    as_they_were = ("--method", "neighbours", "--radius", "0", "--count", "4")
    assert augment(*KINDS, *as_they_were, out="same.parquet").code == 0
    detector, layout = small_detector(), make_layout({"ignore": ("kind",)})
    history = read_for(detector, [folder / "faults.parquet"], layout)
    rows = made_of(pq.read_table(folder / "same.parquet").to_pylist())

    windows = {(row["kind"], row["window"]) for row in rows}
    assert len(windows) == 8
    for window in windows:
        made = [row for row in rows if (row["kind"], row["window"]) == window]
        found = one_window(history, detector, Place.parse(made[0]["source"]))
        assert np.allclose([[row[name] for name in CHANNELS] for row in made], found.values[0])


def test_columns_that_are_no_channel_of_the_model_are_said_to_be_dropped(
    ran: Ran, augment: Callable[..., Ran]
) -> None:
    without = augment("--count", "1")

    assert json.loads(augment("--count", "1", "--json").out)["columns_dropped"] == ["kind"]
    assert without.err.count("dropped, no channel of the model: kind") == 1
    assert json.loads(ran.out)["columns_dropped"] == []
    assert "dropped" not in augment("--count", "1", "--ignore", "kind").err


def test_named_windows_of_two_classes_are_refused(
    augment: Callable[..., Ran], folder: Path
) -> None:
    ran = augment(*KINDS, *source("s0", 49), *source("s1", 129), out="none.parquet")

    assert ran.code == 2
    assert "never of several: got 'leak' and 'normal'" in ran.err
    assert not (folder / "none.parquet").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--label-column", "sort"), 1, "there is no column 'sort'"),
        (("--label-column", "flow"), 1, "holds more than 64 different words"),
        ((*KINDS, "--normal", "fine"), 2, "no row is labelled 'fine'"),
        ((*KINDS, "--method", "transfer"), 2, "name the class of normal operation"),
        ((*KINDS, "--count", "1", "--factor", "2"), 2, "give one of them"),
        ((*KINDS, "--max-gap", "0.1"), 1, "no window to make others of"),
        ((*KINDS, "--plot", "more.foo"), 2, "a picture ends in"),
    ],
)
def test_what_cannot_be_done_is_said(
    augment: Callable[..., Ran], arguments: tuple[str, ...], code: int, words: str
) -> None:
    ran = augment(*arguments)

    assert ran.code == code
    assert words in ran.err
