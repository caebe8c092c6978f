"""`vigie demo` as a newcomer meets it: one command, everything adds up, nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.wait import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.ray]

SMALL = ["--machines", "8", "--rate", "400", "--steps", "300"]


@contextmanager
def vigie_demo(tmp_path: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A demo with a temporary folder of its own; what it leaves behind fails the test."""
    # Ray's sockets need a short path: pytest's own is too long.
    temporary = Path(f"/tmp/vt-{os.getpid()}-{tmp_path.name[-8:]}")
    temporary.mkdir()
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
        "RAY_AUTH_MODE": "disabled",
        "TMPDIR": str(temporary),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "workers.cli.main", "demo", *SMALL, *arguments]
    command += ["--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    family: list[psutil.Process] = []
    try:
        yield process
    finally:
        if process.poll() is None:
            family = psutil.Process(process.pid).children(recursive=True)
            process.kill()
        process.communicate()
        _, left = psutil.wait_procs(family, timeout=30)
        for orphan in left:
            orphan.kill()
    assert not left, f"left behind: {left}"
    rest = list(temporary.iterdir())
    assert not rest, f"left behind: {rest}"
    temporary.rmdir()


def checked(process: "subprocess.Popen[str]", *, within: float) -> dict[str, Any]:
    out, err = process.communicate(timeout=within)
    assert process.returncode == 0, err + out
    assert err == ""
    result: dict[str, Any] = json.loads(out)
    assert result["balanced"], result["accounts"]
    return result


@pytest.mark.timeout(240)
def test_a_short_demo_accounts_for_every_record_and_finds_faults(tmp_path: Path) -> None:
    with vigie_demo(tmp_path, "--seconds", "12", "--json") as process:
        result = checked(process, within=220)

    accounts = result["accounts"]
    parts = ("scored", "warming_up", "dead_lettered", "duplicate", "late")
    assert accounts["sent"] == sum(accounts[part] for part in parts)
    assert accounts["scored"] > 8 * 500
    assert min(accounts["dead_lettered"], accounts["duplicate"], accounts["late"]) > 0
    assert result["detection"]["recall"] >= 0.5
    assert result["noise_gain_db"]["mean"] > 2
    assert Path(result["picture"]).stat().st_size > 10_000
    assert Path(result["folder"], "model", "model.json").is_file()


@pytest.mark.timeout(240)
def test_ctrl_c_in_the_middle_sums_up_what_there_was(tmp_path: Path) -> None:
    with vigie_demo(tmp_path, "--forever") as process:
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        seen = ""

        def streaming() -> bool:
            nonlocal seen
            seen += process.stdout.read() or ""  # type: ignore[union-attr]
            assert process.poll() is None, seen
            return "readings/s" in seen

        wait_until(streaming, within=180, what="the stream")
        os.set_blocking(process.stdout.fileno(), True)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=90)

    assert process.returncode == 0, out + err
    assert "Every record is accounted for" in out
    assert err == ""
