"""The chart's gateway is run without Kubernetes: its command, files, rights and probes.

See `tests.support.pods` for what is as the kubelet has it.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.test_chart import DEVELOPMENT
from tests.support import container, netns
from tests.support.dockerfile import read_images
from tests.support.helm import ROOT, rendered
from tests.support.pods import Namespace, Pod, removed_at_the_end

MISSING = container.why_not() or netns.why_not()
SECRETS = {"tokens": {"admin": "vigie_0123456789ab_" + "a" * 48}}

pytestmark = pytest.mark.skipif(bool(MISSING), reason=str(MISSING))


@pytest.fixture
def network() -> Iterator[netns.Network]:
    with netns.open_network() as network:
        yield network


def release(network: netns.Network, bootstrap: str, folder: Path) -> Namespace:
    """One machine's values, with a Kafka that is there and a token out of a Secret."""
    folder.chmod(0o755)
    claims = {"vigie-gateway": folder / "database", "vigie-model": folder / "model"}
    claims["vigie-gateway"].mkdir()
    os.chown(claims["vigie-gateway"], 10001, 10001)
    return Namespace(
        manifests=rendered(
            *DEVELOPMENT,
            'strimzi={"kafka":{"create":false},"topics":{"create":false},"users":{"create":false}}',
            f'kafka={{"bootstrap":"{bootstrap}"}}',
            'gateway.tokens.admin={"scope":"admin","secret":{"name":"tokens","key":"admin"}}',
        ),
        folder=folder,
        network=network,
        image=read_images(ROOT / "Dockerfile")["cpu"],
        environment=container.environment_mounts(ROOT / ".venv", ROOT),
        secrets=SECRETS,
        claims=claims,
    )


def test_a_gateway_lives_without_kafka_knows_its_token_and_ends_in_time(network, tmp_path):
    nobody = f"{network.host}:9"
    with removed_at_the_end(release(network, nobody, tmp_path)) as namespace:
        gateway = namespace.start("vigie-gateway")

        assert gateway.passes("liveness")
        assert not gateway.passes("readiness")
        assert_its_token_works(gateway)
        assert gateway.stop() == 0


def assert_its_token_works(gateway: Pod) -> None:
    page, token = f"http://{gateway.address}:8080", SECRETS["tokens"]["admin"]
    assert "items" in ask(f"{page}/v1/incidents", token)
    assert "vigie_gateway_deliveries" in read(f"{page}/metrics", token)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask(f"{page}/v1/incidents", "vigie_000000000000_" + "0" * 48)


def read(url: str, token: str = "") -> str:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
        return str(answer.read(), "utf-8")


def ask(url: str, token: str = "") -> Any:
    return json.loads(read(url, token))
