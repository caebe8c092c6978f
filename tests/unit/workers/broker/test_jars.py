"""The cache of Kafka's jars: the pinned bytes, or an error that says what to do."""

from __future__ import annotations

import errno
import gc
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.maven import Repository, serving
from workers.broker.jars import KAFKA_VERSION, Jar, fetch_jars, pinned_jars
from workers.errors import ProvisioningError


@pytest.fixture
def repository() -> Iterator[Repository]:
    with serving() as repository:
        yield repository


def contents(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "kafka" / KAFKA_VERSION).glob("*"))


def test_the_pins_are_complete_and_unambiguous():
    jars = pinned_jars()

    assert f"kafka_2.13-{KAFKA_VERSION}.jar" in {jar.file_name for jar in jars}
    assert len({jar.file_name for jar in jars}) == len(jars)
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in jars)


def test_jars_are_fetched_once_and_their_progress_adds_up(repository, tmp_path):
    jars = [repository.add("one", b"1" * 50_000), repository.add("two", b"2" * 10)]
    seen: list[tuple[int, int]] = []

    paths = fetch_jars(
        tmp_path, jars=jars, maven_url=repository.url, on_progress=lambda *now: seen.append(now)
    )
    again = fetch_jars(tmp_path, jars=jars, maven_url=repository.url)

    assert paths == again
    assert [path.read_bytes() for path in paths] == [b"1" * 50_000, b"2" * 10]
    assert sorted(repository.asked) == ["one-1.0.jar", "two-1.0.jar"]
    assert seen[0] == (0, 50_010)
    assert seen[-1] == (50_010, 50_010)
    assert seen == sorted(seen)


@pytest.mark.parametrize("damage", [b"1" * 999 + b"x", b"1" * 500, b""])
def test_a_damaged_jar_in_the_cache_is_fetched_again(repository, tmp_path, damage):
    jars = [repository.add("one", b"1" * 1000)]
    (path,) = fetch_jars(tmp_path, jars=jars, maven_url=repository.url)
    path.write_bytes(damage)

    (path,) = fetch_jars(tmp_path, jars=jars, maven_url=repository.url)

    assert path.read_bytes() == b"1" * 1000
    assert len(repository.asked) == 2


def test_bytes_that_are_not_the_pinned_ones_never_reach_the_cache(repository, tmp_path):
    jar = repository.add("one", b"good")
    repository.files[jar.file_name] = b"evil"

    with pytest.raises(ProvisioningError, match=r"one-1.0.jar.*never the pinned file.*mirror"):
        fetch_jars(tmp_path, jars=[jar], maven_url=repository.url)

    assert contents(tmp_path) == [".lock"]


def test_without_a_network_the_error_says_what_to_do(tmp_path, free_port):
    jar = Jar(group="org.example", artifact="one", version="1.0", size=1, sha256="0" * 64)

    with pytest.raises(ProvisioningError, match=r"network.*VIGIE_MAVEN_URL.*--bootstrap"):
        fetch_jars(tmp_path, jars=[jar], maven_url=f"http://127.0.0.1:{free_port}")


def test_a_mirror_without_the_jar_is_an_error(repository, tmp_path):
    jar = repository.add("one", b"1")
    repository.files.clear()

    with pytest.raises(ProvisioningError, match="Maven Central cannot be reached"):
        fetch_jars(tmp_path, jars=[jar], maven_url=repository.url)


def test_whole_jars_need_no_network(repository, tmp_path, free_port):
    jars = [repository.add("one", b"1" * 10)]
    fetch_jars(tmp_path, jars=jars, maven_url=repository.url)

    (path,) = fetch_jars(tmp_path, jars=jars, maven_url=f"http://127.0.0.1:{free_port}")

    assert path.read_bytes() == b"1" * 10


def test_a_full_disk_is_named(repository, tmp_path):
    def full(_done: int, _total: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(ProvisioningError, match=r"No space left.*VIGIE_CACHE_DIR"):
        fetch_jars(
            tmp_path, jars=[repository.add("one", b"1")], maven_url=repository.url, on_progress=full
        )


def test_a_cache_folder_that_cannot_be_written_is_named(repository, tmp_path):
    file = tmp_path / "file"
    file.write_text("not a folder")

    with pytest.raises(ProvisioningError, match=r"Cannot write.*VIGIE_CACHE_DIR"):
        fetch_jars(file / "cache", jars=[repository.add("one", b"1")], maven_url=repository.url)


# An interrupted jgo leaves its connection to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_an_interrupted_fetch_leaves_nothing_half_done(repository, tmp_path):
    jars = [repository.add("one", b"1" * 100_000)]
    calls = 0

    def interrupt(_done: int, _total: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_jars(tmp_path, jars=jars, maven_url=repository.url, on_progress=interrupt)
    assert contents(tmp_path) == [".lock"]

    (path,) = fetch_jars(tmp_path, jars=jars, maven_url=repository.url)
    assert path.read_bytes() == b"1" * 100_000
    gc.collect()


def test_two_at_once_fetch_once(repository, tmp_path):
    jars = [repository.add(f"jar{n}", bytes([n]) * 20_000) for n in range(5)]

    with ThreadPoolExecutor(2) as pool:
        both = [
            pool.submit(fetch_jars, tmp_path, jars=jars, maven_url=repository.url) for _ in range(2)
        ]
    first, second = (task.result() for task in both)

    assert first == second
    assert sorted(repository.asked) == sorted(jar.file_name for jar in jars)
