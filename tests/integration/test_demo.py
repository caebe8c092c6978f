"""`vigie demo` as a newcomer meets it: one command, everything adds up, nothing is left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil
import pytest

from tests.support.wait import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.ray]

SMALL = ["--machines", "8", "--per-second", "400", "--steps", "300"]


@contextmanager
def vigie_demo(tmp_path: Path, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A demo with a temporary folder of its own; what it leaves behind fails the test.

    What it says goes to ``stdout`` and ``stderr`` below `tmp_path`.
    """
    # Ray's sockets need a short path: pytest's own is too long.
    temporary = Path(f"/tmp/vt-{os.getpid()}-{len(arguments)}")
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
    command += ["--out", str(tmp_path / "demo")]
    family: list[psutil.Process] = []
    try:
        with (tmp_path / "stdout").open("wb") as out, (tmp_path / "stderr").open("wb") as err:
            process = subprocess.Popen(command, env=environment, stdout=out, stderr=err)
        try:
            yield process
        finally:
            if process.poll() is None:
                family = psutil.Process(process.pid).children(recursive=True)
                process.kill()
                process.wait()
            _, left = psutil.wait_procs(family, timeout=30)
            for orphan in left:
                orphan.kill()
        assert not served_from(tmp_path), "the gateway outlived the demo"
        # A cache of torch's own, which it makes wherever it is imported.
        rest = [path for path in temporary.iterdir() if "torchinductor" not in path.name]
        assert not rest, f"left behind: {rest}"
    finally:
        shutil.rmtree(temporary)


def served_from(folder: Path) -> list[psutil.Process]:
    """Gateways whose settings are in a folder."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in word for word in process.info["cmdline"] or ())
        and "serve" in process.info["cmdline"]
    ]


def ask(address: str, token: str) -> tuple[int, bytes]:
    """What the gateway says to who shows a token."""
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    with urlopen(Request(address, headers=headers), timeout=30) as answer:
        return answer.status, answer.read()


def said(tmp_path: Path) -> str:
    """Standard output of a demo that ended well and complained about nothing."""
    assert (tmp_path / "stderr").read_text() == ""
    return (tmp_path / "stdout").read_text()


@pytest.mark.timeout(240)
def test_a_short_demo_accounts_for_every_record_and_finds_faults(tmp_path: Path) -> None:
    with vigie_demo(tmp_path, "--seconds", "15", "--json") as process:
        assert process.wait(timeout=220) == 0, (tmp_path / "stderr").read_text()

    result: dict[str, Any] = json.loads(said(tmp_path))
    assert result["balanced"], result["accounts"]
    accounts = result["accounts"]
    parts = ("scored", "warming_up", "dead_lettered", "duplicate", "late")
    assert accounts["sent"] == sum(accounts[part] for part in parts)
    assert accounts["scored"] > 8 * 500
    assert min(accounts["dead_lettered"], accounts["duplicate"], accounts["late"]) > 0
    detection = result["detection"]
    assert detection["recall"] >= 0.5
    assert detection["precision"] >= 0.5
    assert len(detection["by_incident"]) == detection["incidents"] == accounts["incidents"]
    assert detection["budget"]["allowed_false_incidents"] > 0
    operator = detection["operator"]
    assert 0 < operator["heeded"] <= operator["faults"] + operator["false_alarms"]
    webhooks = result["webhooks"]
    assert webhooks["due"] == webhooks["came"] == webhooks["valid_signatures"]
    assert accounts["incidents"] <= webhooks["due"] <= 2 * accounts["incidents"]
    assert all(check["holds"] for check in webhooks["checks"])
    assert 0 < webhooks["to_page_s"]["first"] < 30
    assert result["page"].startswith("http://127.0.0.1:")
    assert result["gateway_note"] == ""
    assert result["noise_gain_db"]["mean"] > 2
    assert Path(result["picture"]).stat().st_size > 10_000
    assert Path(result["folder"], "model", "model.json").is_file()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_ctrl_c_in_the_middle_sums_up_what_there_was(tmp_path: Path) -> None:
    def streaming() -> bool:
        assert process.poll() is None, (tmp_path / "stderr").read_text()
        return "readings/s" in (tmp_path / "stdout").read_text()

    with vigie_demo(tmp_path, "--forever") as process:
        wait_until(streaming, within=180, what="the stream")
        text = (tmp_path / "stdout").read_text()
        page, _, token = (
            text.partition("the demo ends: ")[2].partition("\n")[0].partition("#token=")
        )
        status, listed = ask(f"{page}v1/incidents", token)
        assert (status, list(json.loads(listed))) == (200, ["items", "next"])
        _, account = ask(f"{page}account", token)
        assert json.loads(account)["pipeline"]["answers"], account
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=90) == 0, (tmp_path / "stderr").read_text()

    text = said(tmp_path)
    assert "Every record is accounted for" in text
    assert "openings and ends of incidents were due" in text
