"""The previous release, built from its commit into an environment of its own.

Cheap must be the normal case: where both releases pin the same packages, the environment holds
Vigie alone and sees the packages of this one behind it. Else all that was pinned is installed.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
NAMED: Final = Path(__file__).with_name("previous-release.toml")
_PINS: Final = Path("requirements", "runtime.txt")


class NotHereError(Exception):
    """The previous release cannot be built here; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where a release is installed.

    Attributes:
        folder: of the environment.
        shares: whether it sees the packages of the environment that runs the tests.
    """

    folder: Path
    shares: bool

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.folder / "bin" / "python")

    @property
    def vigie(self) -> str:
        """Its command."""
        return str(self.folder / "bin" / "vigie")

    def run(self, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a command of it outside of this checkout, whose code it must not meet."""
        environment = {name: v for name, v in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )


def previous_commit(repository: Path = ROOT, named: Path = NAMED) -> str:
    """The commit of the previous release: that of its tag, else the one that is written down.

    Raises:
        NotHereError: the clone has neither.
    """
    release = tomllib.loads(named.read_text(encoding="utf-8"))
    names = [release[key] for key in ("tag", "commit") if key in release]
    for name in names:
        found = _git(repository, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        if found.returncode == 0:
            return found.stdout.decode().strip()
    raise NotHereError(
        f"this clone has no {' and no '.join(names)}, the previous release: fetch its history "
        "(git fetch --unshallow --tags)"
    )


def build(commit: str, folder: Path) -> Environment:
    """Build the release of a commit and install it.

    Args:
        commit: of this repository.
        folder: for the source, the wheel and the environment.

    Raises:
        NotHereError: there is no uv.
    """
    uv = str(ROOT / ".tools" / "bin" / "uv")
    if not Path(uv).exists():
        uv = which("uv") or ""
    if not uv:
        raise NotHereError("no uv to build the previous release with: make setup")
    source, environment = folder / "source", folder / "environment"
    archive = _git(ROOT, "archive", "--format=tar", commit)
    archive.check_returncode()
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(source, filter="data")
    python = str(environment / "bin" / "python")
    _run(uv, "build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable,
         "--out-dir", str(folder), str(source))  # fmt: skip
    _run(uv, "venv", "--quiet", "--python", sys.executable, str(environment))
    shares = (source / _PINS).read_bytes() == (ROOT / _PINS).read_bytes()
    if shares:
        _see_packages_behind(environment)
    else:
        backend = Path(sys.prefix, "torch-backend")
        told = backend.read_text().strip() if backend.exists() else "default"
        script = source / "requirements" / "install.sh"
        _run(str(script), python, str(source / _PINS), told, UV=uv)
    (wheel,) = folder.glob("vigie-*.whl")
    _run(uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python, str(wheel))
    return Environment(folder=environment, shares=shares)


def _see_packages_behind(environment: Path) -> None:
    """Let an environment find what it lacks in that of the tests.

    A folder that a .pth file names comes behind the environment's own, and the .pth files in it are
    not read: so the editable install of this checkout is not seen.
    """
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "behind.pth").write_text(f"{sysconfig.get_paths()['platlib']}\n", encoding="utf-8")


def _git(repository: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], cwd=repository, capture_output=True, check=False)


def _run(*command: str, **environment: str) -> None:
    subprocess.run(command, env={**os.environ, **environment}, check=True)
