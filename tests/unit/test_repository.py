"""What the repository promises about itself: the documents name what exists, files stay small."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main

from schemas.settings.reference import settings_page
from workers.cli.main import COMMANDS, build_app

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 450
GENERATED = ("requirements/", "docs/schemas/", "LICENSE")
NO_MAKE = {k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}

# Put together here, so that this file does not hold what it looks for.
REGISTRY_HOSTS = re.compile(
    "|".join(
        re.escape(".".join(parts))
        for parts in (
            ("pypi", "org"),
            ("files", "pythonhosted", "org"),
            ("repo", "maven", "apache", "org"),
            ("repo1", "maven", "org"),
            ("registry", "npmjs", "org"),
            ("download", "pytorch", "org"),
            ("proxy", "golang", "org"),
            ("deb", "debian", "org"),
        )
    )
)
MACHINE_PATHS = re.compile(r"(?<![\w./])/(?:root|work|home/(?!vigie\b)\w+|Users/\w+)/")


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    names = listed.stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def text_files() -> list[tuple[str, str]]:
    binary = {".png", ".parquet", ".safetensors", ".arrow", ".npz", ".npy", ".gz"}
    return [
        (str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
        for path in tracked_files()
        if path.suffix not in binary
    ]


def documents() -> list[Path]:
    return [path for path in tracked_files() if path.suffix == ".md"]


def console_commands(document: Path) -> list[str]:
    """The commands of a document's ``console`` blocks: what stands behind a ``$``."""
    blocks = re.findall(r"```console\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    joined = "\n".join(blocks).replace("\\\n", " ")
    return re.findall(r"^\$ (.+)$", joined, re.MULTILINE)


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.fixture(scope="module")
def vigie() -> Any:
    return typer.main.get_command(build_app())


def test_every_command_of_the_help_has_its_module(vigie):
    assert set(vigie.commands) == set(COMMANDS)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_console_blocks_name_commands_that_exist(name, vigie):
    commands = console_commands(ROOT / name)
    assert commands, "a document without a single command teaches nothing"

    for line in commands:
        words = [w for w in shlex.split(line) if not re.fullmatch(r"[A-Z_]+=.*", w)]
        if words[0] == "make":
            targets = [w for w in words[1:] if "=" not in w]
            assert set(targets) <= make_targets(), line
        elif Path(words[0]).name == "vigie":
            assert_vigie_accepts(vigie, words[1:], line)
        elif "/" in words[0]:
            assert os.access(ROOT / words[0], os.X_OK), line
        else:
            assert words[0] in {
                "git",
                "cd",
                "docker",
                "echo",
                "export",
                "helm",
                "kind",
                "kubectl",
            }, line


def assert_vigie_accepts(command: Any, words: list[str], line: str) -> None:
    """Walk down the sub-commands, then look each option up; values are not looked at."""
    while getattr(command, "commands", None) and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"{line}: no command {words[0]!r}"
        command, words = command.commands[words[0]], words[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    known |= {option for parameter in command.params for option in parameter.secondary_opts}
    known |= {"--help", "-h"}
    used = {word.partition("=")[0] for word in words if word.startswith("-")}
    assert used <= known, f"{line}: no option {sorted(used - known)}"


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document):
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8"))

    missing = [t for t in targets if "://" not in t and not (document.parent / t).exists()]

    assert not missing


def test_paths_in_the_architecture_map_exist():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|[^|]+\|(.+)\|$", text, re.MULTILINE)
    paths = [path for row in rows for path in re.findall(r"`([\w./-]+/[\w./-]*)`", row)]
    assert len(paths) > 20

    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_page_of_settings_is_current():
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")

    assert page == settings_page(), "run `make docs`"


def test_no_file_names_a_package_registry():
    found = [name for name, text in text_files() if REGISTRY_HOSTS.search(text)]

    assert found == []


def test_no_file_names_a_path_of_somebody_s_machine():
    found = [name for name, text in text_files() if MACHINE_PATHS.search(text)]

    assert found == []


def test_files_stay_short_enough_to_read():
    kinds = (".py", ".md", ".toml", ".yml", ".yaml", ".sh", "Makefile", "Dockerfile")
    long = {
        name: text.count("\n")
        for name, text in text_files()
        if name.endswith(kinds) and not name.startswith(GENERATED) and text.count("\n") > MAX_LINES
    }

    assert long == {}


def test_make_alone_lists_every_target():
    shown = subprocess.run(
        ["make"], cwd=ROOT, env=NO_MAKE, capture_output=True, text=True, check=True
    ).stdout

    phony = set(re.findall(r"^\.PHONY: ([a-z-]+)", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {line.split()[0] for line in shown.splitlines()} == phony


def test_every_script_that_make_runs_exists():
    scripts = re.findall(r"\b((?:benchmarks|requirements)/[\w-]+\.(?:py|sh))", make_text())

    assert scripts
    assert [script for script in scripts if not (ROOT / script).exists()] == []


def make_text() -> str:
    return (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("requirements", ["build", "dev", "runtime"])
def test_every_requirement_is_pinned_by_hash(requirements):
    text = (ROOT / "requirements" / f"{requirements}.txt").read_text()
    entries = re.split(r"\n(?=[a-z0-9])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))

    assert [e for e in entries if "==" not in e or "--hash=sha256:" not in e] == []


def test_runtime_requirements_are_those_that_were_tested():
    pins = {
        name: set(re.findall(r"^[a-z0-9][^\s\\]*", text, re.MULTILINE))
        for name in ("dev", "runtime")
        for text in [(ROOT / "requirements" / f"{name}.txt").read_text()]
    }

    assert pins["runtime"] < pins["dev"]


def install(tmp_path: Path, backend: str) -> list[str]:
    """Run the installer with a uv that only writes down what it was asked for."""
    uv = tmp_path / "uv"
    uv.write_text(
        '#!/bin/sh\necho "$@" >> "$0.calls"\n'
        'for last; do :; done; if [ -f "$last" ]; then cp "$last" "$0.requirements"; fi\n'
    )
    uv.chmod(0o755)
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho '{tmp_path}'\n")
    python.chmod(0o755)
    subprocess.run(
        [ROOT / "requirements" / "install.sh", python, ROOT / "requirements/dev.txt", backend],
        env=NO_MAKE | {"UV": str(uv)},
        check=True,
    )
    calls = (tmp_path / "uv.calls").read_text().splitlines()
    (tmp_path / "uv.calls").unlink()
    return calls


def test_the_default_torch_is_installed_by_hash_with_everything_else(tmp_path):
    (call,) = install(tmp_path, "default")

    assert "--require-hashes" in call
    assert "--torch-backend" not in call


def test_the_small_torch_comes_alone_and_the_rest_by_hash(tmp_path):
    torch, rest = install(tmp_path, "cpu")

    assert "--torch-backend cpu" in torch
    assert re.search(r"torch==\d[\w.]*$", torch)
    assert "--require-hashes" in rest
    installed = (tmp_path / "uv.requirements").read_text()
    assert not re.search(r"^(torch|triton|nvidia|cuda)", installed, re.MULTILINE)
    assert re.search(r"^safetensors==", installed, re.MULTILINE)
    everything = (ROOT / "requirements/dev.txt").read_text()
    assert everything.count("==") - installed.count("==") > 10


def test_another_torch_replaces_the_one_that_is_there(tmp_path):
    install(tmp_path, "cpu")

    (call,) = install(tmp_path, "default")

    assert "--reinstall-package torch" in call


def test_ci_runs_the_test_command_of_the_readme():
    assert "make test" in console_commands(ROOT / "README.md")
    assert "exec make test" in (ROOT / ".ci" / "run").read_text()


def test_shell_scripts_parse():
    bash = shutil.which("bash") or pytest.skip("needs bash to parse the scripts")
    for script in (ROOT / ".ci" / "run", ROOT / "requirements" / "install.sh"):
        subprocess.run([bash, "-n", script], check=True)
