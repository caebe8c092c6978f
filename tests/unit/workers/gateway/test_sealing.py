"""Secrets at rest: what the key does, where it is kept, and what is said when it is wrong."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.settings import GatewaySettings
from workers.errors import SettingsError
from workers.gateway.sealing import Sealer, key_file_of

KEY = "a key of sixteen characters and more"
SEALER = Sealer.of_key(KEY)


def names(folder):
    return [path.name for path in folder.iterdir()]


@settings(max_examples=50, deadline=None)
@given(plain=st.binary(max_size=300))
def test_what_was_sealed_is_opened_by_the_same_key(plain):
    assert SEALER.open(SEALER.seal(plain)) == plain


def test_nothing_of_the_text_is_seen_and_no_two_are_alike():
    sealed = [SEALER.seal(b"whsec_secret") for _ in range(10)]
    assert len(set(sealed)) == 10
    assert not any(b"secret" in one for one in sealed)


def test_the_same_words_are_the_same_key_anywhere():
    assert Sealer.of_key(KEY).open(SEALER.seal(b"x")) == b"x"


def test_another_key_is_told_from_damage_and_says_what_to_do():
    sealed = SEALER.seal(b"x")
    with pytest.raises(SettingsError, match=r"another key: set gateway\.secret_key"):
        Sealer.of_key(KEY + "!").open(sealed)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_no_damage_goes_unnoticed(data):
    sealed = bytearray(SEALER.seal(b"secret"))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SettingsError):
        SEALER.open(bytes(sealed))


@pytest.mark.parametrize("length", [0, 1, 5, 17, 30])
def test_what_is_cut_is_damaged(length):
    with pytest.raises(SettingsError):
        SEALER.open(SEALER.seal(b"secret")[:length])


def test_a_short_key_is_no_secret():
    with pytest.raises(SettingsError, match="at least 16 characters"):
        Sealer.of_key("password")


def test_a_key_file_is_made_for_its_owner_alone_and_used_again(tmp_path):
    path = tmp_path / "vigie.db.key"
    sealed = Sealer.of_file(path).seal(b"x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(tmp_path) == ["vigie.db.key"]
    assert Sealer.of_file(path).open(sealed) == b"x"


@pytest.mark.parametrize("attempt", range(5))
def test_gateways_that_begin_at_once_end_with_one_key(tmp_path, attempt):
    """They share the folder alone, so threads stand for processes."""
    path, together = tmp_path / "vigie.db.key", Barrier(4)

    def gateway(_):
        together.wait()
        return Sealer.of_file(path).seal(b"x")

    with ThreadPoolExecutor(4) as threads:
        sealed = list(threads.map(gateway, range(4)))
    sealer = Sealer.of_file(path)
    assert [sealer.open(one) for one in sealed] == [b"x"] * 4
    assert names(tmp_path) == ["vigie.db.key"]


def test_a_key_that_others_may_read_is_not_used(tmp_path):
    path = tmp_path / "key"
    Sealer.of_file(path)
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        Sealer.of_file(path)


def test_a_key_file_that_is_empty_or_cannot_be_made_says_what_to_do(tmp_path):
    empty = tmp_path / "empty"
    empty.touch(0o600)
    with pytest.raises(SettingsError, match="is empty"):
        Sealer.of_file(empty)
    with pytest.raises(SettingsError, match=r"or set gateway\.secret_key"):
        Sealer.of_file(tmp_path / "missing" / "key")


def test_the_setting_goes_before_the_file(tmp_path):
    database = f"sqlite:///{tmp_path}/vigie.db"
    by_setting = Sealer.of_settings(GatewaySettings(database=database, secret_key=KEY))
    assert by_setting.open(SEALER.seal(b"x")) == b"x"
    assert not names(tmp_path)
    Sealer.of_settings(GatewaySettings(database=database))
    assert names(tmp_path) == ["vigie.db.key"]


@pytest.mark.parametrize(
    "database", ["postgresql+psycopg://u:p@h/d", "sqlite://", "sqlite:///:memory:", "nonsense"]
)
def test_without_a_file_beside_it_a_database_needs_the_setting(database):
    assert key_file_of(database) is None
    with pytest.raises(SettingsError, match="openssl rand"):
        Sealer.of_settings(GatewaySettings(database=database))
