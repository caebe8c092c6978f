"""The image is checked without Docker: its Dockerfile, and what it would run, with its rights.

By default on the environment of the tests; slow: on one that is made as the Dockerfile makes it,
from the wheel and the pinned requirements, with nothing else in it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import container
from tests.support.container import Container, Mounts, environment_mounts
from tests.support.dockerfile import Image, read_images

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "Dockerfile"
ROLES = {"excel", "notify", "oidc", "plot", "postgres", "registry", "tracing"}
# What a process of each role imports beyond the rest.
OF_ROLES = (
    "apprise, fastavro, grpc_tools, jwt, matplotlib, opentelemetry.sdk, psycopg, python_calamine"
)

needs_namespaces = pytest.mark.skipif(
    container.why_not() is not None, reason=str(container.why_not())
)

Run = Callable[..., str]


@pytest.fixture(scope="module")
def images() -> dict[str, Image]:
    return read_images(DOCKERFILE)


def runner(image: Image, environment: Mounts, folder: Path) -> Run:
    """Runs commands as the image would: its variables, its user, a root that is read-only."""
    data = folder / "data"
    data.mkdir()
    uid, gid = map(int, image.user.split(":"))
    os.chown(data, uid, gid)

    def run(*command: str, code: int = 0, within_s: float = 300, **options: bool) -> str:
        log = folder / "log"
        log.write_text("")
        ended = Container(
            name="image",
            command=[*image.entrypoint, *(command or image.command)]
            if not options.get("bare")
            else command,
            env=image.env | {"PATH": image.env["PATH"].replace("$PATH", "/usr/bin:/bin")},
            log=log,
            user=(uid, gid),
            folder=image.folder,
            mounts=[*environment, (data, "/data", "rw")],
            tmpfs=["/tmp"],
            shm_size="256m",
        ).run(within_s)
        said = log.read_text(errors="replace")
        assert ended == code, said[-4000:]
        return said

    return run


@pytest.fixture
def run(images, tmp_path) -> Run:
    return runner(images["cpu"], environment_mounts(ROOT / ".venv", ROOT), tmp_path)


# -- the Dockerfile ------------------------------------------------------------------------------


def hadolint(text: str) -> str:
    program = Path(sys.executable).with_name("hadolint")
    return subprocess.run(
        [program, "-"], input=text, capture_output=True, text=True, check=False
    ).stdout


def test_the_dockerfile_is_clean():
    assert hadolint(DOCKERFILE.read_text()) == ""


@pytest.mark.parametrize(
    ("clean", "broken", "rule"),
    [
        ("--no-cache-dir ", "", "DL3042"),
        ("FROM ${PYTHON_IMAGE} AS build", "FROM python:latest AS build", "DL3007"),
        ("WORKDIR /etc/vigie", "WORKDIR etc/vigie", "DL3000"),
        ("USER 10001:10001", "USER root", "DL3002"),
    ],
)
def test_what_is_wrong_in_it_would_be_found(clean, broken, rule):
    text = DOCKERFILE.read_text()
    assert clean in text

    assert rule in hadolint(text.replace(clean, broken))


def test_both_targets_run_as_the_same_user_and_differ_in_torch_alone(images):
    cpu, cuda = images["cpu"], images["cuda"]

    assert list(images)[-1] == "cpu", "the last target is the default"
    assert cpu.user == cuda.user == "10001:10001"
    assert (cpu.entrypoint, cpu.folder) == (cuda.entrypoint, cuda.folder)
    assert {n: v for n, v in cuda.env.items() if not n.startswith("NVIDIA_")} == cpu.env
    installs = [images[f"install-{name}"].runs for name in ("cpu", "cuda")]
    assert len(installs[0]) == len(installs[1]) == 3
    assert [cpu.copied, cuda.copied] == [
        [(f"install-{name}", "/opt/vigie", "/opt/vigie")] for name in ("cpu", "cuda")
    ]


def test_the_base_can_be_pinned_by_digest_with_one_argument():
    text = DOCKERFILE.read_text()

    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    outside = {base for base in bases if base not in read_images(DOCKERFILE)}
    assert outside == {"${PYTHON_IMAGE}"}
    assert re.search(r"^ARG PYTHON_IMAGE=\S+:\d[\w.-]+$", text, re.MULTILINE)


def test_the_image_has_what_the_roles_need_pinned_as_it_was_tested():
    pins = {}
    for name in ("dev", "runtime", "image"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text()
        entries = re.split(r"\n(?=[a-z0-9])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
        assert [e for e in entries if "==" not in e or "--hash=sha256:" not in e] == []
        pins[name] = set(re.findall(r"^[a-z0-9][^\s\\]*", text, re.MULTILINE))

    assert pins["runtime"] < pins["image"] < pins["dev"]
    extras = set(re.findall(r"--extra (\w+)", (ROOT / "Makefile").read_text()))
    assert extras == ROLES


# -- what it runs --------------------------------------------------------------------------------


@needs_namespaces
@pytest.mark.timeout(400)
def test_with_a_root_that_cannot_be_written_the_commands_work(run):
    rights = "id -u; grep CapBnd /proc/self/status; touch /etc/vigie/x || touch /opt/vigie/x"
    said = run("sh", "-c", rights, bare=True, code=1)
    assert said.startswith("10001\nCapBnd:\t0000000000000000\n")
    assert said.count("Read-only file system") == 2
    run("simulate", "--output=/data/test.parquet", "--machines=2", "--rows=600", "--faults=0")


# -- as the Dockerfile makes it ------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that was empty, with what the target `cuda` installs: its torch is pinned."""
    uv = ROOT / ".tools" / "bin" / "uv"
    if not uv.exists():
        pytest.skip("needs the pinned uv: make .tools/bin/uv")
    folder = tmp_path_factory.mktemp("built")
    environment = folder / "vigie"
    sources = folder / "src"
    copy_context(sources)
    # Only the interpreter's own environment: what it finds is what the image has.
    env = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "UV": str(uv)}
    env |= {name: value for name, value in os.environ.items() if name.startswith(("UV_", "SSL_"))}
    # Relocatable: made here, it is mounted where the image has it.
    commands: list[list[str | Path]] = [
        [uv, "venv", "--quiet", "--relocatable", "--python", sys.executable, environment],
        [
            sources / "requirements/install.sh",
            environment / "bin/python",
            sources / "requirements/image.txt",
        ],
        [sources / "requirements/slim.sh", environment],
        [
            uv,
            "build",
            "--quiet",
            "--wheel",
            "--no-build-isolation",
            "--python",
            sys.executable,
            "--out-dir",
            folder,
        ],
        [
            *(uv, "pip", "install", "--quiet", "--no-deps", "--compile-bytecode"),
            *("--python", environment / "bin/python"),
        ],
    ]
    for words in commands:
        wheels = list(folder.glob("*.whl")) if "install" in words else []
        done = subprocess.run(
            [*words, *wheels], cwd=sources, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return environment


def copy_context(target: Path) -> None:
    """What `docker build` is given: .dockerignore lets these in alone."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    kept = [line.removeprefix("!") for line in lines if line.startswith("!")]
    target.mkdir()
    for name in kept:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target / name)


@pytest.mark.slow
@needs_namespaces
@pytest.mark.timeout(1500)
def test_an_empty_environment_with_wheel_and_pins_does_all_that_the_image_does(
    built, images, tmp_path
):
    run = runner(images["cpu"], environment_mounts(built), tmp_path)

    assert list(built.glob("lib/*/site-packages/triton")) == []
    assert "vigie doctor" in run()
    run("python", "-c", f"import {OF_ROLES}", bare=True)
    doctor = run(
        "doctor", "--skip", "kafka", "--skip", "topics", "--skip", "java", "--skip", "model"
    )
    assert "✗" not in doctor
    run("simulate", "--output=/data/normal.parquet", "--machines=2", "--rows=3600", "--faults=0")
    run(
        *("train", "/data/normal.parquet", "--out=/data/model", "--max-steps=60"),
        *("--budget", "10 per day", "--detector=plain"),
    )
    run("simulate", "--output=/data/test.parquet", "--machines=2", "--rows=900", "--first-row=3600")
    said = run(
        *("backtest", "/data/test.parquet", "-m", "/data/model"),
        *("--label", "label", "--plot", "/data/plot.png"),
    )
    assert "incidents" in said
    head = "ray start --head --port=6379 --num-cpus=1 --object-store-memory=100000000"
    asked = f"export RAY_AUTH_MODE=disabled; {head}; ray health-check --address 127.0.0.1:6379"
    run("sh", "-euc", asked, bare=True)
