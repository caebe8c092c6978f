"""A cluster that asks for a token, one that speaks TLS, and one that loses its head."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from detector.artifact import save
from tests.support.broker import topic_maker
from tests.support.certificates import Authority
from tests.support.cluster_runs import all_scored_once, first_half_done, second_half_sent
from tests.support.models import small_detector
from tests.support.netns import open_network, why_not
from tests.support.site import open_site
from tests.support.streams import make_settings
from workers.cli.exits import ExitCode

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]


def test_a_driver_whose_head_is_gone_has_its_workers_commit_and_says_so(
    tmp_path: Path, group: str
) -> None:
    """With a token all along: nobody joins with another one, and none is in a log."""
    token, other = secrets.token_hex(32), secrets.token_hex(32)
    (tmp_path / "token").write_text(token)
    (tmp_path / "other").write_text(other)
    model = save(small_detector(), tmp_path / "small")
    ask = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
    with open_site(tmp_path, environment=ask) as site, topic_maker(site.connection) as make_topic:
        site.add_node("--num-cpus=2")
        settings = make_settings(site.connection, make_topic, group, partitions=4)
        stranger = {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "other")}
        with site.driver(settings, model, environment=stranger) as driver:
            assert driver.process.wait(timeout=240) == ExitCode.USAGE
            assert "does not take our token" in driver.log.read_text()
        quick = ("--ingest", "2", "--set", "ray.head_timeout_s=10")
        with site.driver(settings, model, *quick) as driver:
            first_half_done(site, settings, driver)
            site.head.kill()
            assert driver.process.wait(timeout=180) == ExitCode.FAILURE
            said = driver.log.read_text()
            assert "the head of the Ray cluster has not answered" in said
            assert driver.said("drained")[0]["unfinished"] == [], "what had begun was committed"
        for log in tmp_path.glob("*.log"):
            assert token not in log.read_text()
            assert other not in log.read_text()


def test_under_tls_every_reading_is_scored_once_and_nobody_joins_without(
    tmp_path: Path, group: str
) -> None:
    model = save(small_detector(), tmp_path / "small")
    with open_network() as network:
        authority = Authority(tmp_path)
        addresses = [f"{network.prefix}.{number}" for number in range(1, 20)]
        certificate, key = authority.sign("node", "localhost", "127.0.0.1", *addresses)
        tls = {
            "RAY_USE_TLS": "1",
            "RAY_TLS_SERVER_CERT": str(certificate),
            "RAY_TLS_SERVER_KEY": str(key),
            "RAY_TLS_CA_CERT": str(authority.path),
        }
        with (
            open_site(tmp_path, network, tls) as site,
            topic_maker(site.connection) as make_topic,
        ):
            site.add_node("--num-cpus=2")
            settings = make_settings(site.connection, make_topic, group, partitions=4)
            with site.driver(settings, model, environment={"RAY_USE_TLS": "0"}) as driver:
                assert driver.process.wait(timeout=240) != 0
                assert "does not answer as the head of a Ray cluster" in driver.log.read_text()
            with site.driver(settings, model, "--ingest", "2") as driver:
                first_half_done(site, settings, driver)
                second_half_sent(site, settings)
                all_scored_once(site, settings, make_topic)
                assert driver.stop() == 0, driver.log.read_text()
