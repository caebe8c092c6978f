"""A pipeline on several machines: nodes that die, are cut off, come and go; drivers and heads.

Each machine is a network namespace with an address, a cable and processes of its own. Whatever
happens to them, readers of committed records see what an undisturbed loop writes, nothing twice.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from detector.artifact import save
from schemas.settings import Settings
from tests.support.broker import MakeTopic, topic_maker
from tests.support.cluster_runs import (
    START_S,
    all_at_work,
    all_scored_once,
    first_half_done,
    second_half_sent,
    workers_on,
)
from tests.support.models import small_detector
from tests.support.netns import why_not
from tests.support.ray_nodes import pids
from tests.support.site import Site, open_site
from tests.support.streams import make_settings
from tests.support.wait import wait_until

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.ray,
    pytest.mark.timeout(900),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("site")) as found:
        for _ in range(2):
            found.add_node("--num-cpus=2")
        yield found


@pytest.fixture(autouse=True)
def no_more_nodes_than_before(site: Site) -> Iterator[None]:
    yield
    site.power_off(site.nodes[2:])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(small_detector(), tmp_path_factory.mktemp("model") / "small")


@pytest.fixture
def make_topic(site: Site) -> Iterator[MakeTopic]:
    with topic_maker(site.connection) as make:
        yield make


@pytest.fixture
def settings(site: Site, make_topic: MakeTopic, group: str) -> Settings:
    return make_settings(site.connection, make_topic, group, partitions=4)


def test_a_node_is_powered_off_and_its_workers_go_on_elsewhere(
    site: Site, model: Path, settings: Settings, make_topic: MakeTopic
) -> None:
    lost = site.add_node("--num-cpus=2")
    with site.driver(settings, model, "--ingest", "3") as driver:
        first_half_done(site, settings, driver)
        assert [len(workers_on(node)) for node in site.nodes[:3]] == [1, 1, 1], "they spread"
        lost.kill()
        second_half_sent(site, settings)
        all_scored_once(site, settings, make_topic)
        wait_until(lambda: driver.said("worker_died"), within=240, what="a death by Ray's account")
        all_at_work(driver, 3)
        assert driver.stop() == 0, driver.log.read_text()
        wait_until(lambda: not pids(driver.machine), within=30, what="the end of its own node")


@pytest.mark.slow
def test_a_node_that_was_cut_off_and_comes_back_writes_nothing_twice(
    site: Site, model: Path, settings: Settings, make_topic: MakeTopic
) -> None:
    away = site.add_node("--num-cpus=2")
    with site.driver(settings, model, "--ingest", "3") as driver:
        first_half_done(site, settings, driver)
        (zombie,) = workers_on(away)
        away.machine.cut()
        second_half_sent(site, settings)
        wait_until(lambda: driver.said("worker_died"), within=240, what="a death by Ray's account")
        all_scored_once(site, settings, make_topic)
        assert psutil.pid_exists(zombie), "it knows nothing of its death"
        away.machine.heal()
        wait_until(lambda: not psutil.pid_exists(zombie), within=120, what="the zombie's end")
        all_scored_once(site, settings, make_topic)
        all_at_work(driver, 3)
        assert driver.stop() == 0, driver.log.read_text()


@pytest.mark.slow
def test_a_node_that_is_pre_empted_hands_its_workers_over_without_a_death(
    site: Site, model: Path, settings: Settings, make_topic: MakeTopic
) -> None:
    spot = site.add_node("--num-cpus=2", RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S="90")
    with site.driver(settings, model, "--ingest", "3") as driver:
        first_half_done(site, settings, driver)
        assert len(workers_on(spot)) == 1
        spot.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not workers_on(spot), within=60, what="an empty node")
        second_half_sent(site, settings)
        all_scored_once(site, settings, make_topic)
        (drain,) = driver.said("worker_drains")
        assert drain["leaves_node"]
        assert not driver.said("worker_died")
        assert driver.stop() == 0, driver.log.read_text()


@pytest.mark.slow
def test_a_killed_driver_takes_its_workers_along_and_its_successor_goes_on(
    site: Site, model: Path, settings: Settings, make_topic: MakeTopic
) -> None:
    with site.driver(settings, model, "--ingest", "2") as driver:
        first_half_done(site, settings, driver)
        driver.process.kill()
        wait_until(lambda: not pids(driver.machine), within=60, what="the end of its own node")
        wait_until(
            lambda: not any(workers_on(node) for node in site.nodes if node.process.poll() is None),
            within=60,
            what="the end of its workers",
        )
    second_half_sent(site, settings)
    with site.driver(settings, model, "--ingest", "2") as driver:
        all_scored_once(site, settings, make_topic)
        assert driver.stop() == 0, driver.log.read_text()


@pytest.mark.slow
def test_workers_that_are_asked_for_later_come_to_a_node_that_was_added(
    site: Site, model: Path, settings: Settings, make_topic: MakeTopic
) -> None:
    with site.driver(settings, model, "--ingest", "1") as driver:
        first_half_done(site, settings, driver)
        (planned,) = driver.said("planned")
        added = site.add_node("--num-cpus=4")
        wait_until(  # in one step or in several
            lambda: (
                [line["cpus"] for line in driver.said("cluster_changed")][-1:]
                == [planned["cpus"] + 4]
            ),
            within=60,
            what="a larger cluster",
        )
        driver.scale("--ingest", "4")
        wait_until(lambda: workers_on(added), within=START_S, what="a worker on the new node")
        second_half_sent(site, settings)
        all_scored_once(site, settings, make_topic)
        assert driver.stop() == 0, driver.log.read_text()


@pytest.mark.slow
def test_an_ingest_worker_starts_beside_its_scorer_and_no_score_differs(
    site: Site, model: Path, settings: Settings, make_topic: MakeTopic
) -> None:
    actors = ("--ingest", "1", "--set", "workers.scorers=1", "--set", "workers.placement=actors")
    with site.driver(settings, model, *actors) as driver:
        first_half_done(site, settings, driver)
        (node,) = [node for node in site.nodes if workers_on(node)]
        assert workers_on(node, "ScorerActor")
        second_half_sent(site, settings)
        all_scored_once(site, settings, make_topic)
        assert driver.stop() == 0, driver.log.read_text()


@pytest.mark.slow
def test_scorers_share_the_gpus_of_the_nodes_that_have_some(site: Site, model: Path) -> None:
    for _ in range(2):
        site.add_node("--num-cpus=3", "--num-gpus=1")
    machine = site.network.add()
    script = [sys.executable, "-m", "tests.support.scorers_on_gpus", site.address, str(model)]
    done = subprocess.run(
        machine.command([*script, "0.5", "4"]),
        env=site.rays.environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [2, 2]
