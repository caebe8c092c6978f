"""`vigie latent`: what it writes, what it says, how it ends."""

import json

import pytest

from detector.artifact import save
from tests.support.models import START_NS, plant_values, quick_detector
from workers.cli import main as cli
from workers.latent.window_file import COLUMNS

pytest.importorskip("plotly", reason="needs plotly: uv sync --all-extras")
pytest.importorskip("matplotlib", reason="needs matplotlib: uv sync --all-extras")

EARLY, LATE = "2023-11-14T22:13:40Z", "2023-11-14T22:14:10Z"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save(quick_detector(), tmp_path_factory.mktemp("latent") / "model"))


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    lines = ["ts,sensor_id,flow,pressure,temperature,fault"]
    for number, sensor in enumerate(("s0", "s1")):
        for row, values in enumerate(plant_values(60, seed=number)):
            ts_ms = START_NS // 10**6 + row * 1000
            fault = "leak" if 20 <= row < 40 else "none"
            lines.append(f"{ts_ms},{sensor},{','.join(f'{v:.4f}' for v in values)},{fault}")
    (tmp_path / "day.csv").write_text("\n".join([*lines, ""]))
    return "day.csv"


@pytest.fixture
def run(model, file, capsys):
    def run(command, *arguments, files=(file,)):
        capsys.readouterr()
        code = cli.main(["latent", command, *files, "--model", model, *arguments])
        output = capsys.readouterr()
        return code, output.out, " ".join(output.err.replace("│", " ").split())

    return run


def test_a_map_is_a_page_a_picture_and_a_table(run, tmp_path):
    code, out, err = run(
        "map", "--type", "fault", "--colour", "label", "--trajectory", "s1",
        "--table", "map.csv", "-o", "map.html", "--json",
    )  # fmt: skip

    assert (code, err) == (0, "")
    assert json.loads(out)["windows"] == 2 * 53
    assert (tmp_path / "map.html").stat().st_size > 10**6
    assert (tmp_path / "map.png").is_file()
    kinds = {line.rsplit(",", 1)[1] for line in (tmp_path / "map.csv").read_text().split()[1:]}
    assert kinds == {'"leak"', '"none"'}


@pytest.mark.parametrize(
    ("command", "arguments", "windows"),
    [
        ("generate", ["--near", f"s0@{EARLY}", "--count", "7"], 7),
        (
            "average",
            f"--label fault=leak --of s1@label --of s0@{EARLY}/{LATE} --as s0".split(),
            1,
        ),
        ("arithmetic", ["--a", f"s0@{LATE}", "--b", f"s0@{EARLY}", "--c", f"s1@{EARLY}"], 1),
        ("interpolate", ["--start", f"s0@{EARLY}", "--end", f"s0@{LATE}", "--steps", "5"], 5),
    ],
)
def test_made_windows_are_a_picture_and_a_file(run, tmp_path, command, arguments, windows):
    code, out, err = run(command, *arguments, "-o", "made.csv", "--plot", "made.png", "--json")

    assert (code, err) == (0, "")
    assert json.loads(out)["windows"] == windows
    assert (tmp_path / "made.png").is_file()
    header, *rows = (tmp_path / "made.csv").read_text().splitlines()
    assert len(rows) == windows * 8
    assert set(header.replace('"', "").split(",")) <= {
        *COLUMNS, "flow", "pressure", "temperature"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("command", "arguments", "code", "words"),
    [
        ("generate", ["--near", f"s7@{EARLY}"], 1, "there is no sensor 's7'; there are 's0', 's1'"),
        ("generate", ["--near", "s0@noon"], 2, "names no windows"),
        ("interpolate", ["--start", f"s0@{EARLY}", "--end", f"s1@{LATE}"], 1, "of one sensor"),
        ("map", ["--colour", "label"], 2, "the files have no label"),
        ("map", ["--type", "kind"], 1, "has no column 'kind'"),
        ("map", ["-o", "day.csv"], 2, "day.csv is read: name another file"),
        ("map", ["-o", "map.png"], 2, "--out writes map.png as well"),
        ("generate", ["--near", f"s0@{EARLY}", "-o", "day.csv"], 2, "day.csv is read"),
        ("map", ["--method", "tsne", "--trajectory", "s0"], 2, "lie where no window is"),
        ("map", ["--topic-to", EARLY], 2, "give files, or --topic-from"),
        ("map", ["--topic-from", EARLY], 2, "give files, or --topic-from"),
    ],
)
def test_what_cannot_be_done_is_told_with_what_can(run, command, arguments, code, words):
    found, _, err = run(command, *arguments)

    assert (found, words in err) == (code, True), err


def test_a_model_has_to_be_named(file, capsys):
    assert cli.main(["latent", "map", file]) == 2
    assert "name the folder" in capsys.readouterr().err
