"""A cluster that asks for a token, and one that loses its head."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from detector.artifact import save
from tests.support.broker import topic_maker
from tests.support.cluster_runs import first_half_done
from tests.support.models import small_detector
from tests.support.netns import why_not
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
    with open_site(tmp_path, **ask) as site, topic_maker(site.connection) as make_topic:
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
