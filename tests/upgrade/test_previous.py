"""Which commit is the previous release, and what is said where it is not here."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.upgrade.previous import NotHereError, previous_commit


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository of two commits, the first of which is tagged."""
    git(tmp_path, "init", "--quiet")
    for number in range(2):
        git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", str(number))
        if not number:
            git(tmp_path, "tag", "v1.0.0")
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    parts = ("AUTHOR_NAME", "AUTHOR_EMAIL", "COMMITTER_NAME", "COMMITTER_EMAIL")
    author = {f"GIT_{part}": "vigie@example.org" for part in parts}
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder, env={**os.environ, **author}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


def named(folder: Path, text: str) -> Path:
    path = folder / "previous-release.toml"
    path.write_text(text)
    return path


def test_the_tag_wins_where_the_clone_has_it(clone):
    first, latest = git(clone, "rev-parse", "v1.0.0"), git(clone, "rev-parse", "HEAD")

    for tag, commit in (("v1.0.0", first), ("v9.9.9", latest)):
        file = named(clone, f'tag = "{tag}"\ncommit = "{latest}"\n')
        assert previous_commit(clone, file) == commit


def test_a_clone_without_history_says_how_to_get_it(clone):
    with pytest.raises(NotHereError, match=r"no v9, the previous release: .*--unshallow --tags"):
        previous_commit(clone, named(clone, 'tag = "v9"\n'))
