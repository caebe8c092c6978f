"""A secret of the gateway that changes: the same process begins anew with it, and serves on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.support.wait import wait_until

pytestmark = pytest.mark.kafka

OLD, NEW = "old-password-of-mail", "new-password-of-mail"


@pytest.mark.timeout(300)
def test_a_gateway_takes_a_new_secret_under_its_old_process_number(
    bootstrap: str, free_port: int, tmp_path: Path
) -> None:
    secret = tmp_path / "smtp"
    secret.write_text(OLD)
    environ = {
        **os.environ,
        "VIGIE_SMTP__PASSWORD_FILE": str(secret),
        "VIGIE_GATEWAY__LIVE": "off",
        "VIGIE_LOG__LEVEL": "debug",
    }
    command = [sys.executable, "-m", "workers.cli.main", "serve", "--no-tokens"]
    command += ["--bootstrap", bootstrap, "--port", str(free_port)]
    command += ["--database", f"sqlite:///{tmp_path / 'gateway.db'}"]
    log = tmp_path / "log"

    def begun() -> int:
        return log.read_text().count("The page and the interface")

    def is_live() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/healthz", timeout=5) as it:
                return bool(it.status == 200)
        except OSError:
            return False

    with log.open("w") as out:
        process = subprocess.Popen(
            command, env=environ, stdout=out, stderr=subprocess.STDOUT, cwd=tmp_path
        )
    try:
        wait_until(is_live, within=120, what="the gateway")
        secret.write_text(NEW)
        wait_until(lambda: begun() == 2, within=120, what="a second beginning")
        wait_until(is_live, within=60, what="the gateway again")
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    said = log.read_text()
    assert f"new secrets in {secret}" in said
    assert OLD not in said
    assert NEW not in said
