"""What a release consists of, made from a commit: the same commit gives the same bytes.

A wheel, a source archive, the bills of materials (CycloneDX) of what is pinned, the packed chart,
and the checksums of them all. `make release` calls it; docs/guide-releases.md is the whole way.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[1]
CHART: Final = Path("deploy", "helm", "vigie")
SUMS: Final = "SHA256SUMS"
_HELM: Final = (
    "there is no helm to pack the chart with: requirements/helm.sh makes it, where there is Go; or "
    "install Helm 3 and name it, HELM=/path/to/helm"
)
_MATERIALS: Final = {"runtime": "", "image": "-image"}
"""Requirement files, and what their bills are called; the first is what the wheel needs."""


class ReleaseError(Exception):
    """There can be no release; the message says why and what to do."""


def version_of(source: Path) -> str:
    """The version of the project."""
    project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))
    return str(project["project"]["version"])


def contradictions(source: Path) -> list[str]:
    """What in a tree does not agree with its version; each says what to do."""
    version, found = version_of(source), []
    changes = (source / "CHANGELOG.md").read_text(encoding="utf-8")
    heading = re.compile(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", re.MULTILINE)
    if not heading.search(changes):
        found.append(
            f"CHANGELOG.md has no section of {version}: write it, as "
            f"'## [{version}] - YYYY-MM-DD', or correct the version in pyproject.toml"
        )
    chart = yaml.safe_load((source / CHART / "Chart.yaml").read_text(encoding="utf-8"))
    if str(chart.get("appVersion")) != version:
        found.append(
            f"{CHART}/Chart.yaml has appVersion {chart.get('appVersion')}, pyproject.toml has "
            f"{version}: make them the same"
        )
    return found


def changed_files(repository: Path) -> list[str]:
    """Files that are not as they are committed, or in no commit at all."""
    told = _said("git", "status", "--porcelain", cwd=repository)
    return [line[3:] for line in told.splitlines()]


def build_packages(source: Path, folder: Path, *, epoch_s: int, uv: str) -> None:
    """Make the source archive, and the wheel from it.

    Args:
        source: the tree.
        folder: to put them into.
        epoch_s: time of everything in them, seconds since 1970.
        uv: the program.
    """
    command = (uv, "build", "--quiet", "--no-build-isolation", "--python", sys.executable)
    _said(*command, "--out-dir", str(folder), str(source), epoch_s=epoch_s)
    (folder / ".gitignore").unlink(missing_ok=True)  # of uv


def write_materials(source: Path, folder: Path, *, epoch_s: int) -> None:
    """Write the bills of materials: every pinned package with its hashes, valid CycloneDX."""
    name = f"vigie-{version_of(source)}"
    for requirements, suffix in _MATERIALS.items():
        pins = source / "requirements" / f"{requirements}.txt"
        if pins.exists():
            _said(
                str(Path(sys.executable).with_name("cyclonedx-py")),
                *("requirements", "--output-reproducible", "--pyproject"),
                *(str(source / "pyproject.toml"), "--output-file"),
                *(str(folder / f"{name}{suffix}.cdx.json"), str(pins)),
                epoch_s=epoch_s,
            )


def pack_chart(source: Path, folder: Path, *, epoch_s: int, helm: str) -> None:
    """Pack the chart, as Helm does, with the time of the commit instead of now."""
    _said(helm, "package", str(source / CHART), "--destination", str(folder))
    for package in folder.glob("*.tgz"):
        package.write_bytes(_with_time(package.read_bytes(), epoch_s))


def _with_time(packed: bytes, epoch_s: int) -> bytes:
    """A packed tar with every time in it set."""
    told = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(packed)) as old,
        gzip.GzipFile(filename="", fileobj=told, mode="wb", mtime=epoch_s) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda one: one.name):
            member.mtime, member.pax_headers = epoch_s, {}
            new.addfile(member, old.extractfile(member))
    return told.getvalue()


def write_sums(folder: Path) -> None:
    """Write the checksums of all files of a folder, as `sha256sum --check` reads them."""
    files = sorted(path for path in folder.iterdir() if path.name != SUMS)
    lines = (f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def release(
    repository: Path, folder: Path, *, uv: str, helm: str | None, tag: str | None = None
) -> list[Path]:
    """Make a release of the commit that is checked out.

    Args:
        repository: a clone without changes.
        folder: to put it into; what lies there from before is removed.
        uv: the program.
        helm: the program; None where there is none.
        tag: what it will be called, which must be the version; None if nobody says so yet.

    Returns:
        Its files.

    Raises:
        ReleaseError: files were changed, versions disagree, or a tool is missing or fails.
    """
    if changed := changed_files(repository):
        raise ReleaseError(
            f"{len(changed)} files are not as committed ({', '.join(changed[:3])}): commit or "
            "remove them; a release is made from a commit"
        )
    if found := contradictions(repository):
        raise ReleaseError("; ".join(found))
    if tag is not None and tag != f"v{version_of(repository)}":
        raise ReleaseError(
            f"the tag is {tag}, the version {version_of(repository)}: tag it "
            f"v{version_of(repository)}, or correct the version in pyproject.toml"
        )
    if helm is None:
        raise ReleaseError(_HELM)
    epoch_s = int(_said("git", "log", "-1", "--format=%ct", cwd=repository))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="vigie-release-") as work:
        source = Path(work, "source")
        _export(repository, source)
        build_packages(source, folder, epoch_s=epoch_s, uv=uv)
        write_materials(source, folder, epoch_s=epoch_s)
        pack_chart(source, folder, epoch_s=epoch_s, helm=helm)
    write_sums(folder)
    return sorted(folder.iterdir())


def _export(repository: Path, source: Path) -> None:
    """Write out what the commit holds: what git ignores must not enter a release."""
    packed = source.with_suffix(".tar")
    _said("git", "archive", "--format=tar", f"--output={packed}", "HEAD", cwd=repository)
    with tarfile.open(packed) as tar:
        tar.extractall(source, filter="data")


def _said(*command: str, cwd: Path | None = None, epoch_s: int | None = None) -> str:
    """Run a program; what it prints.

    Raises:
        ReleaseError: it fails; with what it said.
    """
    environment = dict(os.environ)
    if epoch_s is not None:
        environment["SOURCE_DATE_EPOCH"] = str(epoch_s)
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ReleaseError(
            f"{' '.join(command[:2])} failed: {(done.stderr or done.stdout).strip()}"
        )
    return done.stdout


def _program(name: str) -> str | None:
    """A program, also where Go puts those that it makes."""
    return shutil.which(name) or shutil.which(name, path=str(Path.home() / "go" / "bin"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Make a release, and list its files; 1 and the reason where there can be none."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    parser.add_argument("--tag", help="check that the version is that of the tag")
    parser.add_argument("--uv", default="uv")
    parser.add_argument("--helm", default=os.environ.get("HELM") or "helm")
    told = parser.parse_args(arguments)
    try:
        files = release(ROOT, told.output, uv=told.uv, helm=_program(told.helm), tag=told.tag)
    except ReleaseError as error:
        sys.stderr.write(f"No release: {error}.\n")
        return 1
    sys.stdout.write("".join(f"{path}\n" for path in files))
    return 0


if __name__ == "__main__":
    sys.exit(main())
