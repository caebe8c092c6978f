"""What a release leaves on disk, the other one reads: models and the gateway's database."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from detector.artifact import load, save
from tests.upgrade.previous import Environment
from workers.cli.main import main
from workers.gateway.store.database import open_database
from workers.gateway.store.tables import metadata

ROWS = 800
START = datetime(2026, 1, 5, tzinfo=UTC)
TRAIN = ["train", "history.csv", "--max-steps", "30", "--threads", "1", "-o", "old"]
BACKTEST = ["backtest", "history.csv", "-o", "scores.csv", "--incidents", "incidents.jsonl", "-m"]
COMMANDS = """
import sys
from workers.cli.main import main
sys.exit(max(main(command) for command in {commands}))
"""


@dataclass(frozen=True)
class Trained:
    """A folder with a history, a model of the last release, and its scores and incidents."""

    folder: Path
    told: tuple[str, str]


def told(folder: Path) -> tuple[str, str]:
    """Scores and incidents of a backtest, which are taken away."""
    files = folder / "scores.csv", folder / "incidents.jsonl"
    scores, incidents = (file.read_text() for file in files)
    assert scores.count("\n") > ROWS / 2
    assert incidents, "a history without an incident shows little"
    for file in files:
        file.unlink()
    return scores, incidents


@pytest.fixture(scope="module")
def trained(previous: Environment, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """What the last release made of a history with a fault in it."""
    folder = tmp_path_factory.mktemp("history")
    rng = np.random.default_rng(5)
    flow = 50 + np.sin(np.arange(ROWS) / 15) + rng.normal(0, 0.05, ROWS)
    pressure = flow / 10 + rng.normal(0, 0.01, ROWS)
    pressure[700:740] += 1.0
    lines = [
        f"{(START + timedelta(seconds=i)).isoformat()},{one:.3f},{other:.3f}"
        for i, (one, other) in enumerate(zip(flow, pressure, strict=True))
    ]
    (folder / "history.csv").write_text("\n".join(["ts,flow,pressure", *lines, ""]))
    commands = COMMANDS.format(commands=[TRAIN, [*BACKTEST, "old"]])
    done = previous.run(previous.python, "-c", commands, cwd=folder)
    assert done.returncode == 0, done.stderr
    return Trained(folder, told(folder))


def test_a_model_of_the_last_release_gives_the_same_scores(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(trained.folder)

    assert main([*BACKTEST, "old"]) == 0

    assert told(trained.folder) == trained.told


def test_the_last_release_scores_with_a_model_of_this_one_or_says_what_to_install(
    trained: Trained, previous: Environment
):
    save(load(trained.folder / "old", "cpu"), trained.folder / "new")

    done = previous.run(previous.vigie, *BACKTEST, "new", cwd=trained.folder)

    if done.returncode:
        assert "Install the Vigie that wrote it, or a newer one" in done.stderr
    else:
        assert told(trained.folder) == trained.told


def store(url: str, statement: str) -> str:
    """A program that brings a database up to date and runs a statement on it."""
    return f"""
from sqlalchemy import text
from workers.gateway.store.database import open_database
with open_database({url!r}) as database:
    database.migrate()
    with database.begin() as connection:
        print(list(connection.execute(text({statement!r} + " RETURNING value"))))
"""


def test_a_database_goes_forward_and_the_way_back_works_or_says_why(
    tmp_path: Path, previous: Environment
):
    url = f"sqlite:///{tmp_path / 'vigie.db'}"
    insert = "INSERT INTO counters (name, value) VALUES ('deliveries', 7)"
    made = previous.run(previous.python, "-c", store(url, insert), cwd=tmp_path)
    assert made.stdout == "[(7,)]\n", made.stderr

    with open_database(url) as database:
        database.migrate()
        with database.read() as connection:
            differences = compare_metadata(MigrationContext.configure(connection), metadata)
            kept = connection.execute(text("SELECT value FROM counters")).scalar()
    assert differences == []
    assert kept == 7

    update = "UPDATE counters SET value = value + 1"
    back = previous.run(previous.python, "-c", store(url, update), cwd=tmp_path)
    assert back.stdout == "[(8,)]\n" or "later version of Vigie" in back.stderr, back.stderr


def test_the_other_release_runs_its_own_code(tmp_path: Path, previous: Environment):
    """Or nothing here shows anything."""
    code = (
        "from importlib.util import find_spec\n"
        "for name in ('workers', 'ray'): print(find_spec(name).origin)"
    )
    workers, ray = previous.run(previous.python, "-c", code, cwd=tmp_path).stdout.split()

    assert Path(workers).is_relative_to(previous.folder)
    assert Path(ray).is_relative_to(sys.prefix if previous.shares else previous.folder)
