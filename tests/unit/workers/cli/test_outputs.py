"""What a command will write, looked at before it works."""

from pathlib import Path

import pytest
import typer

from workers.cli.outputs import check_outputs


def check(read=(), *, files=None, pictures=None):
    check_outputs(map(Path, read), files=files or {}, pictures=pictures or {})


def test_missing_folders_are_made_and_what_is_there_already_may_be_replaced(tmp_path):
    old = tmp_path / "old.csv"
    old.touch()

    check(
        files={"--out": tmp_path / "deep" / "er" / "new.csv", "--table": old},
        pictures={"--plot": tmp_path / "plots" / "new.PNG", "--other": None},
    )

    assert (tmp_path / "deep" / "er").is_dir()
    assert (tmp_path / "plots").is_dir()
    assert not list(tmp_path.rglob("new.*"))


def test_a_file_that_is_read_is_never_replaced_whatever_it_is_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("day.csv").touch()
    Path("link.csv").symlink_to("day.csv")

    for name in ("day.csv", tmp_path / "day.csv", "link.csv", "../" + tmp_path.name + "/day.csv"):
        with pytest.raises(typer.BadParameter, match="is read: name another file"):
            check(["day.csv"], files={"--out": Path(name)})


def test_two_outputs_of_one_name_are_rejected(tmp_path):
    path = tmp_path / "map.png"

    with pytest.raises(typer.BadParameter, match=r"--out writes .* as well") as found:
        check(files={"--out": path}, pictures={"--plot": path})

    assert found.value.param_hint == "--plot"


def test_a_picture_says_its_format(tmp_path):
    with pytest.raises(typer.BadParameter, match=r"a picture ends in \.png, \.svg, \.pdf"):
        check(pictures={"--plot": tmp_path / "map.foo"})


def test_what_cannot_be_written_is_said_before_the_work(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(typer.BadParameter, match="cannot make the folder"):
        check(files={"--out": tmp_path / "file" / "new.csv"})
    with pytest.raises(typer.BadParameter, match="cannot be written"):
        check(files={"--out": tmp_path})
