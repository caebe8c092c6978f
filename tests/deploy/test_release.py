"""What a release consists of, that it comes out the same again, and when there is none."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from deploy.release import (
    SUMS,
    ReleaseError,
    build_packages,
    contradictions,
    pack_chart,
    release,
    version_of,
    write_materials,
    write_sums,
)
from tests.support.helm import helm

ROOT = Path(__file__).resolve().parents[2]
EPOCH_S = 1_790_000_000
PACKAGES = ("detector", "schemas", "workers")


def uv() -> str:
    pinned = ROOT / ".tools" / "bin" / "uv"
    return str(pinned) if pinned.exists() else shutil.which("uv") or pytest.skip("needs uv")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheel and source archive of this tree."""
    folder = tmp_path_factory.mktemp("packages")
    build_packages(ROOT, folder, epoch_s=EPOCH_S, uv=uv())
    return folder


def test_the_wheel_holds_every_module_and_file_of_the_packages_and_nothing_else(packages):
    (wheel,) = packages.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}

    there = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == there
    assert "workers/api/static/index.html" in held
    assert "workers/gateway/store/migrations/versions/0001_first.py" in held
    assert "workers/py.typed" in held


def test_the_source_archive_gives_the_same_wheel(packages, tmp_path):
    (archive,), (wheel,) = packages.glob("*.tar.gz"), packages.glob("*.whl")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()

    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel"],
        cwd=source,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH_S)},
        check=True,
        capture_output=True,
    )

    assert (source / "dist" / wheel.name).read_bytes() == wheel.read_bytes()
    assert (source / "requirements" / "runtime.txt").exists()


def pins(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9][\w.-]*)==([^\s;\\]+)", text, re.MULTILINE))


def small_tree(folder: Path) -> Path:
    """What bills are made of, with three of the pins: all of them take a while."""
    folder.mkdir()
    shutil.copy(ROOT / "pyproject.toml", folder)
    text = (ROOT / "requirements" / "runtime.txt").read_text()
    entries = re.split(r"\n(?=[a-z0-9])", text)
    chosen = [e for e in entries if e.startswith(("torch==", "ray==", "kafka-python=="))]
    (folder / "requirements").mkdir()
    (folder / "requirements" / "runtime.txt").write_text("\n".join(chosen) + "\n")
    return folder


def test_the_bill_of_materials_names_what_is_pinned_and_comes_out_the_same(tmp_path):
    bills = []
    for name in "ab":
        source, out = small_tree(tmp_path / name), tmp_path / f"{name}-out"
        out.mkdir()
        write_materials(source, out, epoch_s=EPOCH_S)
        (bill,) = out.glob("*.cdx.json")
        bills.append(bill.read_bytes())

    assert bills[0] == bills[1]
    bill = json.loads(bills[0])
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["version"] == version_of(ROOT)
    named = {one["name"]: one["version"] for one in bill["components"]}
    assert named == {name: pins("runtime")[name] for name in ("torch", "ray", "kafka-python")}


def test_the_chart_packed_twice_is_the_same(tmp_path):
    found = []
    for name in "ab":
        folder = tmp_path / name
        folder.mkdir()
        pack_chart(ROOT, folder, epoch_s=EPOCH_S, helm=helm())
        (package,) = folder.glob("*.tgz")
        found.append(package.read_bytes())
        shown = subprocess.run(
            [helm(), "show", "chart", str(package)], capture_output=True, text=True, check=True
        )
        assert yaml.safe_load(shown.stdout)["appVersion"] == version_of(ROOT)

    assert found[0] == found[1]


def test_the_checksums_are_those_that_sha256sum_takes(tmp_path):
    (tmp_path / "a.whl").write_bytes(b"wheel")
    write_sums(tmp_path)
    write_sums(tmp_path)  # its own file is not summed

    assert (tmp_path / SUMS).read_text() == f"{hashlib.sha256(b'wheel').hexdigest()}  a.whl\n"
    check = ["sha256sum", "--check", "--strict", SUMS]
    assert subprocess.run(check, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    (tmp_path / "a.whl").write_bytes(b"another")
    assert subprocess.run(check, cwd=tmp_path, capture_output=True, check=False).returncode == 1


# -- when there is none ----------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A clone that could be released, as far as versions tell."""
    root = tmp_path / "clone"
    (root / "deploy" / "helm" / "vigie").mkdir(parents=True)
    (root / "pyproject.toml").write_text('[project]\nname = "vigie"\nversion = "1.2.3"\n')
    (root / "CHANGELOG.md").write_text("# Changelog\n\n## [1.2.3] - 2026-11-30\n")
    (root / "deploy/helm/vigie/Chart.yaml").write_text('appVersion: "1.2.3"\nversion: 0.1.0\n')
    git(root, "init", "--quiet")
    commit(root)
    return root


def git(root: Path, *arguments: str) -> None:
    parts = ("AUTHOR_NAME", "AUTHOR_EMAIL", "COMMITTER_NAME", "COMMITTER_EMAIL")
    author = {f"GIT_{part}": "vigie@example.org" for part in parts}
    subprocess.run(["git", *arguments], cwd=root, env={**os.environ, **author}, check=True)


def commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "all")


def refused(root: Path, tag: str | None = None) -> str:
    with pytest.raises(ReleaseError) as error:
        release(root, root.parent / "dist", uv="uv", helm=None, tag=tag)
    return str(error.value)


def test_a_tree_that_could_be_released_lacks_helm_alone(tree):
    assert contradictions(tree) == []
    assert "there is no helm" in refused(tree)


@pytest.mark.parametrize("name", ["CHANGELOG.md", "notes.txt"])
def test_there_is_no_release_of_files_that_are_not_committed(tree, name):
    with (tree / name).open("a") as file:
        file.write("more\n")

    assert f"1 files are not as committed ({name})" in refused(tree)


@pytest.mark.parametrize(
    ("name", "before", "after", "said"),
    [
        ("CHANGELOG.md", "1.2.3", "1.2.2", "CHANGELOG.md has no section of 1.2.3"),
        ("CHANGELOG.md", " - 2026-11-30", "", "CHANGELOG.md has no section of 1.2.3"),
        ("pyproject.toml", "1.2.3", "1.3.0", "Chart.yaml has appVersion 1.2.3"),
        ("deploy/helm/vigie/Chart.yaml", "1.2.3", "1.2.4", "pyproject.toml has 1.2.3"),
    ],
)  # fmt: skip
def test_there_is_no_release_while_versions_disagree(tree, name, before, after, said):
    path = tree / name
    path.write_text(path.read_text().replace(before, after))
    commit(tree)

    assert said in refused(tree)


def test_the_tag_is_the_version(tree):
    assert "there is no helm" in refused(tree, "v1.2.3")
    assert "the tag is v1.2.4, the version 1.2.3" in refused(tree, "v1.2.4")


def test_ci_calls_targets_that_exist():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    runs = [word for step in steps for word in re.findall(r"\bmake ([a-z-]+)", step.get("run", ""))]
    assert {"test", "audit", "release"} <= set(runs) <= targets


def test_slow_tests_run_each_week_and_before_a_release_with_the_rights_that_they_need():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    slow = jobs["test-all"]

    assert {"'schedule'", "'refs/tags/v'"} <= set(re.findall(r"'[^']+'", slow["if"]))
    assert [step for step in slow["steps"] if re.search("sudo .*make test-all", str(step))]
    assert "test-all" in jobs["release"]["needs"]
    for job in (slow, jobs["test"]):
        runs = [step.get("run") for step in job["steps"]]
        assert "make helm" in runs, "its tests would fail where the machine has none"


def test_an_old_release_stays_where_there_is_no_new_one(tree):
    kept = tree.parent / "dist" / "vigie-1.2.2.whl"
    kept.parent.mkdir()
    kept.write_text("old")

    refused(tree)

    assert kept.exists()


@pytest.mark.slow
def test_a_release_is_whole_and_comes_out_the_same_again(tmp_path):
    """Of the last commit, with a section in its changelog if that has none yet."""
    clone = tmp_path / "clone"
    git(ROOT, "clone", "--quiet", "--shared", str(ROOT), str(clone))
    version, changes = version_of(clone), clone / "CHANGELOG.md"
    if contradictions(clone):
        changes.write_text(f"{changes.read_text()}\n## [{version}] - 2026-11-30\n")
        commit(clone)

    made = [
        release(clone, tmp_path / name, uv=uv(), helm=helm(), tag=f"v{version}") for name in "ab"
    ]

    names = {path.name.removeprefix(f"vigie-{version}") for path in made[0]}
    bills = {".cdx.json", "-image.cdx.json"}
    assert names == {"-py3-none-any.whl", ".tar.gz", ".tgz", SUMS, *bills}
    first, second = (folder / SUMS for folder in (tmp_path / "a", tmp_path / "b"))
    assert first.read_text() == second.read_text()
    bill = json.loads((tmp_path / "a" / f"vigie-{version}.cdx.json").read_text())
    assert {one["name"]: one["version"] for one in bill["components"]} == pins("runtime")
