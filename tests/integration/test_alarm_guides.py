"""docs/guide-detection.md, docs/guide-incidents.md: their commands run and say what they say."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from detector.calibration.alarm_fold import FEEDBACK, FREE_SHARE
from detector.calibration.alarm_rule import AlarmDials
from detector.calibration.budget import AlarmBudget
from detector.calibration.drift import EPOCH_ROWS
from schemas.settings.sections import StreamSettings
from schemas.wire.anomaly import anomaly_id
from schemas.wire.event import DeedEvent, IncidentEvent
from schemas.wire.incident import MAX_EXCERPT, EndReason, Incident
from workers.cli import main as cli
from workers.cli.exits import ExitCode
from workers.cli.main import build_app
from workers.stream.state.alarm_table import MARK_EPOCHS

DOCS = Path(__file__).parents[2] / "docs"
DETECTION, INCIDENTS = (
    (DOCS / name).read_text(encoding="utf-8")
    for name in ("guide-detection.md", "guide-incidents.md")
)
GUIDES = {"detection": DETECTION, "incidents": INCIDENTS}

Ran = Callable[[str, pytest.CaptureFixture[str]], dict[str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands of both guides run: the second one finds the first one's model."""
    return tmp_path_factory.mktemp("guide")


@pytest.fixture(scope="module")
def done() -> dict[str, str]:
    """What each command has said that was run."""
    return {}


@pytest.fixture
def ran(folder: Path, done: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Runs the first block of commands of a guide, each once; what each said, in words."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "120")  # wide enough for what is looked for to stay in one line

    def run(guide: str, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
        block = re.findall(r"```console\n(.*?)```", guide, re.DOTALL)[0]
        said = {}
        for line in re.findall(r"^\$ vigie (.+)$", block, re.MULTILINE):
            words = shlex.split(line)
            if line not in done:
                code = cli.main(words)
                output = capsys.readouterr()
                assert code == ExitCode.OK, output.err
                done[line] = " ".join(output.out.split())
            said[words[0]] = done[line]
        return said

    return run


def pasted(pattern: str) -> Any:
    """The one JSON block of the incidents' guide."""
    (block,) = re.findall(pattern, INCIDENTS, re.DOTALL)
    return json.loads(block)


def test_the_worked_example_finds_the_faults_and_nothing_else(
    ran: Ran, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = ran(DETECTION, capsys)

    assert "budget 5 per sensor and day (extrapolated)" in said["train"]
    assert "1 per sensor and hour" in said["train"]
    assert "incidents 2, 0 of them false; 2 of 2 events found" in said["backtest"]
    assert "flow low" in said["backtest"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<b>flow</b> low" in page
    assert "the normal readings most like" in page


def test_the_incident_of_the_guide_is_the_one_that_the_commands_write(
    ran: Ran, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = ran(INCIDENTS, capsys)
    written = (folder / "incidents.jsonl").read_text(encoding="utf-8").splitlines()
    found, told = json.loads(written[1]), pasted(r"```json\n(.*?)```")

    assert len(written) == 2
    for sentence in ("pressure pattern", "flow low", "2 of 2 events found", "0 observed"):
        assert sentence in said["backtest"]
        assert sentence in " ".join(INCIDENTS.split())
    assert set(found) - set(told) == {"excerpt", "latent", "model", "calibration"}
    for name in ("kind", "sensor_id", "end_reason", "severity", "direction", "seen_by", "budget"):
        assert told[name] == found[name], name
    for name in (
        "first",
        "opened",
        "last",
        "until",
        "end",
    ):  # another processor's last bits may move them
        assert told[name] == pytest.approx(found[name], abs=5_000), name
    for name in ("peak", "mean", "flagged", "readings", "charge"):
        assert told[name] == pytest.approx(found[name], rel=0.25), name
    (channel,) = told["channels"]
    assert channel["channel"] == found["channels"][0]["channel"]
    assert channel["expected"] == pytest.approx(found["channels"][0]["expected"], rel=0.05)


def test_the_incident_of_the_guide_is_what_the_guide_says_of_its_fields() -> None:
    told = pasted(r"```json\n(.*?)```")
    source = told["source"]
    of = source["topic"], source["partition"], source["first_offset"], source["first_index"]

    assert told["id"] == str(anomaly_id(*of))
    assert told["duration_s"] * 1000 == told["until"] - told["first"]
    assert told["readings"] == source["last_offset"] - (source["first_offset"] + 1) + 1
    dials = AlarmDials()
    assert (told["end"] - told["until"]) / 1000 == dials.merge_gap + 1


def test_the_guide_explains_every_field_end_and_event() -> None:
    fields = {of.alias or name for name, of in Incident.model_fields.items()}
    named = set(re.findall(r"`([a-z_.]+)`", INCIDENTS))
    events = {
        word
        for event in (IncidentEvent, DeedEvent)
        for word in event.model_json_schema()["properties"]["type"]["enum"]
    }

    assert fields - named - {"sensor_id"} == set()
    assert {one.value for one in EndReason} - named == set()
    assert events - named == set()


def test_the_numbers_of_the_guide_are_the_product_s() -> None:
    dials, text = AlarmDials(), " ".join(INCIDENTS.split())
    weakest, strongest = FEEDBACK, FEEDBACK * (1 - FREE_SHARE)

    for sentence in (
        f"`--opens-at` ({dials.opens_at}), `--opens-within` ({dials.opens_within})",
        f"closes after {dials.closes_after} readings in a row",
        f"within {dials.merge_gap} readings of the close",
        f"`--max-duration` ({dials.longest:,} readings)",
        f"`stream.max_stale_s` ({StreamSettings().max_stale_s:,.0f})",
        f"up to {MARK_EPOCHS} epochs of {EPOCH_ROWS} readings",
        f"up to {MAX_EXCERPT} points",
        f"{weakest:.0f} for the weakest, {strongest:.1f}".replace("0.", "."),
    ):
        assert sentence in text, sentence


def event(incident: str, number: int) -> str:
    """An event of an incident, as far as a reader looks."""
    return json.dumps(
        {"id": f"{incident}-{number}", "sequence": f"{number:010d}", "data": {"id": incident}}
    )


def deed(wish: str) -> str:
    """The event of a wish."""
    return json.dumps({"id": f"{wish}-heeded-pump-1-17", "data": {"id": wish}})


def test_the_reader_of_the_guide_drops_repeats_and_nothing_else() -> None:
    names: dict[str, Any] = {}
    (block,) = re.findall(r"```python\n(.*?)```", INCIDENTS, re.DOTALL)
    exec(compile(block, "guide-incidents.md", "exec"), names)
    once = [event("a", 1), event("b", 1), deed("w"), event("a", 2), event("a", 10), event("b", 2)]
    repeated = [*once[:4], *once[1:5], *once[2:]]
    latest: dict[str, int] = {}

    read = [*names["new_events"](repeated[:6], latest), *names["new_events"](repeated[6:], latest)]

    assert read == [json.loads(one) for one in once]


@pytest.mark.parametrize("words", sorted(set(re.findall(r'"(\d+ per [a-z0-9 ]+)"', DETECTION))))
def test_every_budget_of_the_guide_is_one(words: str) -> None:
    assert AlarmBudget.parse(words).false_alarms >= 1


def options(command: Any) -> Iterator[str]:
    """Of a command and of those below it."""
    for parameter in command.params:
        yield from parameter.opts
    for one in getattr(command, "commands", {}).values():
        yield from options(one)


@pytest.mark.parametrize("guide", sorted(GUIDES))
def test_every_option_of_the_guides_exists(guide: str) -> None:
    known = set(options(typer.main.get_command(build_app())))

    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", GUIDES[guide])) <= known
