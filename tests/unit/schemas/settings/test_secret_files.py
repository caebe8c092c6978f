"""Secrets from files: what a mounted secret gives, and what is said of a file that gives none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from schemas.settings import InvalidSettingsError, SettingsSource, load_settings
from schemas.settings.secret_files import MAX_SECRET_BYTES

PASSWORD = "correct horse battery staple"
VARIABLE = "VIGIE_KAFKA__CLIENT__SASL_PLAIN_PASSWORD"


def mounted(folder: Path, text: str | bytes) -> Path:
    path = folder / "secret"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def rejection(**environ: str) -> str:
    with pytest.raises(InvalidSettingsError) as raised:
        load_settings(environ=environ)
    return str(raised.value)


def test_a_file_gives_an_option_of_the_client_without_its_last_line_end(tmp_path: Path) -> None:
    path = mounted(tmp_path, f"{PASSWORD}\n")
    settings = load_settings(environ={f"{VARIABLE}_FILE": str(path)})
    assert settings.kafka.client_options() == {"sasl_plain_password": PASSWORD}
    assert PASSWORD not in repr(settings)


@pytest.mark.parametrize(
    ("variable", "read"),
    [
        ("VIGIE_GATEWAY__DATABASE", lambda s: s.gateway.database.get_secret_value()),
        ("VIGIE_SMTP__PASSWORD", lambda s: s.smtp.password.get_secret_value()),
        ("VIGIE_REGISTRY__TOKEN", lambda s: s.registry.token.get_secret_value()),
        ("VIGIE_KAFKA__GROUP", lambda s: s.kafka.group),
    ],
)
def test_a_file_gives_any_text_setting(tmp_path: Path, variable: str, read: object) -> None:
    path = mounted(tmp_path, "in-a-file\r\n")
    assert read(load_settings(environ={f"{variable}_FILE": str(path)})) == "in-a-file"  # type: ignore[operator]


def test_a_password_of_digits_from_a_file_stays_text(tmp_path: Path) -> None:
    settings = load_settings(environ={f"{VARIABLE}_FILE": str(mounted(tmp_path, "0123\n"))})
    assert settings.kafka.client_options() == {"sasl_plain_password": "0123"}


def test_a_value_and_its_file_are_an_error(tmp_path: Path) -> None:
    path = mounted(tmp_path, PASSWORD)
    said = rejection(**{VARIABLE: "other-secret", f"{VARIABLE}_FILE": str(path)})
    assert f"{VARIABLE} is set as well" in said
    assert "other-secret" not in said


def test_a_table_that_gives_what_a_file_gives_is_an_error(tmp_path: Path) -> None:
    path, table = mounted(tmp_path, PASSWORD), "VIGIE_KAFKA__CLIENT"
    given = {table: '{"sasl_plain_password": "other-secret"}', f"{VARIABLE}_FILE": str(path)}
    said = rejection(**given)
    assert (
        f"environment variable {VARIABLE}_FILE: {table} (sasl_plain_password) is set as well"
        in said
    )
    assert "other-secret" not in said
    settings = load_settings(environ=given | {table: '{"sasl_mechanism": "PLAIN"}'})
    assert settings.kafka.client_options()["sasl_plain_password"] == PASSWORD


def test_a_source_shows_no_value_of_the_environment() -> None:
    assert PASSWORD not in repr(SettingsSource.read(environ={VARIABLE: PASSWORD}))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        (b"\xff" + PASSWORD.encode(), "is not UTF-8: byte 0"),
        (PASSWORD * (MAX_SECRET_BYTES // len(PASSWORD) + 1), "is larger than"),
    ],
)
def test_a_file_that_gives_no_text_is_named_and_not_quoted(
    tmp_path: Path, content: str | bytes, reason: str
) -> None:
    path = mounted(tmp_path, content)
    said = rejection(**{f"{VARIABLE}_FILE": str(path)})
    assert said.startswith(f"environment variable {VARIABLE}_FILE: the file {path} {reason}")
    assert PASSWORD not in said


def test_a_missing_file_a_folder_and_a_pipe_are_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # would be waited for
    for path, reason in (
        (tmp_path / "missing", "cannot be read: No such file or directory"),
        (tmp_path, "is no plain file"),
        (tmp_path / "pipe", "is no plain file"),
    ):
        said = rejection(**{f"{VARIABLE}_FILE": str(path)})
        assert said == f"environment variable {VARIABLE}_FILE: the file {path} {reason}"


def test_what_a_file_holds_is_in_no_error_about_its_setting(tmp_path: Path) -> None:
    path = mounted(tmp_path, PASSWORD)
    said = rejection(
        VIGIE_GATEWAY__ALLOW_TARGETS_FILE=str(path), VIGIE_TOPICS__READINGS_FILE=str(path)
    )
    assert f"the file {path} of VIGIE_TOPICS__READINGS_FILE: topics.readings: must be" in said
    assert PASSWORD not in said


def test_a_misspelt_variable_of_a_file_names_the_setting(tmp_path: Path) -> None:
    said = rejection(VIGIE_SMTP__PASWORD_FILE=str(mounted(tmp_path, PASSWORD)))
    assert "did you mean password?" in said
    assert PASSWORD not in said


def test_a_channel_may_be_called_as_it_likes() -> None:
    settings = load_settings(environ={"VIGIE_STREAM__CHANNELS__flow": "VALVE_FILE"})
    assert settings.stream.channels == {"flow": "VALVE_FILE"}
    settings = load_settings(environ={"VIGIE_STREAM__CHANNELS__flow_FILE": "x"})
    assert settings.stream.channels == {"flow_FILE": "x"}


def test_a_source_sees_a_swapped_secret_and_nothing_else_that_changed(tmp_path: Path) -> None:
    """As Kubernetes does it: the folder behind a link is another one at the next moment."""
    for version, text in (("1", "old"), ("2", PASSWORD)):
        (tmp_path / version).mkdir()
        mounted(tmp_path / version, text)
    (tmp_path / "data").symlink_to("1")
    file = tmp_path / "vigie.toml"
    file.write_text("[topics]\npartitions = 3\n")
    environ = {f"{VARIABLE}_FILE": str(tmp_path / "data" / "secret")}
    source = SettingsSource.read(file, environ=environ)
    before, first = source.fingerprint(), source.load()
    assert source.fingerprint() == before

    file.write_text("[topics]\npartitions = 5\n")
    (tmp_path / "next").symlink_to("2")
    (tmp_path / "next").rename(tmp_path / "data")

    assert source.fingerprint() != before
    second = source.load()
    assert second.kafka.client_options() == {"sasl_plain_password": PASSWORD}
    assert second.topics == first.topics
    assert PASSWORD not in str(source.fingerprint())
