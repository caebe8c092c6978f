"""`vigie tokens`: made, listed and revoked in the gateway's database."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.wire.timestamp import to_ns
from workers.cli import main as cli
from workers.cli.exits import ExitCode
from workers.gateway.store import audit, tokens
from workers.gateway.store.database import open_database

Vigie = Callable[..., tuple[int, str, str]]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'gateway.db'}"


@pytest.fixture
def vigie(url: str, capsys: pytest.CaptureFixture[str]) -> Vigie:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["tokens", *arguments, "--set", f"gateway.database={url}"])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def holds(url: str, token: str) -> bool:
    with open_database(url) as database, database.read() as connection:
        return tokens.find(connection, token, time.time_ns()) is not None


def as_json(result: tuple[int, str, str]) -> Any:
    assert result[0] == ExitCode.OK, result
    return json.loads(result[1])


def test_a_token_is_printed_alone_so_that_a_script_can_take_it(vigie: Vigie, url: str) -> None:
    code, out, err = vigie("create", "night shift", "--scope", "operate")
    assert code == ExitCode.OK
    token = out.strip()
    assert holds(url, token)
    assert "not shown again" in err
    assert token not in err


def test_a_token_is_shown_once_and_kept_as_a_hash(vigie: Vigie, tmp_path: Path) -> None:
    made = as_json(vigie("create", "a", "--json"))
    secret = made["token"].rpartition("_")[2]
    assert secret not in json.dumps(as_json(vigie("list", "--json")))
    assert secret not in vigie("list")[1]
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert made["id"].encode() in kept
    assert secret.encode() not in kept


def test_a_revoked_token_is_good_for_nothing_and_stays_in_the_list(vigie: Vigie, url: str) -> None:
    made = as_json(vigie("create", "a", "--tenant", "north", "--expires", "90d", "--json"))
    (before,) = as_json(vigie("list", "--json"))
    assert (before["state"], before["tenant"], before["scope"]) == ("good", "north", "read")
    assert before["last_used"] is None
    assert as_json(vigie("revoke", made["id"], "--json")) == {"id": made["id"], "state": "revoked"}
    assert not holds(url, made["token"])
    (after,) = as_json(vigie("list", "--json"))
    assert after["state"] == "revoked"
    assert vigie("revoke", made["id"])[0] == ExitCode.OK  # again: nothing changes
    assert as_json(vigie("list", "--json")) == [after]
    with open_database(url) as database, database.read() as connection:
        found = audit.entries(connection, tenant="", before=None, limit=9)
    assert [(one.action, one.target) for one in found] == [
        ("token.revoke", made["id"]), ("token.create", made["id"]),
    ]  # fmt: skip


def test_a_token_of_an_unknown_id_is_not_revoked(vigie: Vigie) -> None:
    code, _, err = vigie("revoke", "4f1d2c3b5a69")
    assert (code, "vigie tokens list" in err) == (ExitCode.FAILURE, True)


@pytest.mark.parametrize(("text", "days"), [("36h", 1.5), ("90d", 90), ("2w", 14)])
def test_a_token_expires_when_it_was_said(vigie: Vigie, text: str, days: float) -> None:
    made = as_json(vigie("create", "a", "--expires", text, "--json"))
    assert to_ns(made["expires"]) == pytest.approx(time.time_ns() + days * 86_400e9, abs=60e9)


@pytest.mark.parametrize(
    "arguments",
    [
        ["a", "--expires", "2020-01-01T00:00:00Z"],
        ["a", "--expires", "soon"],
        ["a", "--expires", "0d"],
        ["a", "--expires", "999999w"],
        ["a", "--scope", "root"],
        [""],
        ["a\nb"],
        ["a", "--tenant", "t" * 65],
        ["a", "--tenant", "North"],
        ["a", "--tenant", "a b"],
    ],
)
def test_what_makes_no_sense_makes_no_token(vigie: Vigie, arguments: list[str]) -> None:
    assert vigie("create", *arguments)[0] == ExitCode.USAGE
    assert as_json(vigie("list", "--json")) == []


def test_a_terminal_shows_whole_ids(vigie: Vigie) -> None:
    made = as_json(vigie("create", "x" * 200, "--tenant", "y" * 60, "--json"))
    assert made["id"] in vigie("list")[1]


GIVEN = f"vigie_{'ab' * 6}_{'cd' * 24}"


def test_a_token_of_a_file_is_kept_once_and_never_printed(
    vigie: Vigie, url: str, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(GIVEN + "\n")

    first = vigie("create", "admin", "--scope", "admin", "--token-file", str(file))
    again = vigie("create", "admin", "--scope", "admin", "--token-file", str(file))

    assert first[0] == again[0] == ExitCode.OK
    assert holds(url, GIVEN)
    assert len(as_json(vigie("list", "--json"))) == 1
    assert "cd" * 24 not in "".join([*map(str, first), *map(str, again)])


@pytest.mark.parametrize("ended", ["revoked", "expired"])
def test_a_token_that_ended_does_not_come_back_by_its_file_and_holds_no_start_up(
    vigie: Vigie, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: str
) -> None:
    """A gateway's start runs this before: after a revocation in haste it has to start again."""
    file = tmp_path / "token"
    file.write_text(GIVEN)
    keep = ("create", "admin", "--expires", "1h", "--token-file", str(file))
    vigie(*keep)
    if ended == "revoked":
        vigie("revoke", "ab" * 6)
    else:
        later_ns = time.time_ns() + 2 * 3600 * 10**9
        monkeypatch.setattr("time.time_ns", lambda: later_ns)

    code, out, err = vigie(*keep)

    assert (code, out) == (ExitCode.OK, "")
    assert "was revoked or has expired" in err
    assert str(file) in err
    assert "cd" * 24 not in err
    assert not holds(url, GIVEN)
    assert [one["state"] for one in as_json(vigie("list", "--json"))] == [ended]


def test_another_token_of_an_id_that_is_kept_is_rejected(
    vigie: Vigie, url: str, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(GIVEN)
    vigie("create", "admin", "--token-file", str(file))
    file.write_text(GIVEN[:-1] + "e")

    code, _, err = vigie("create", "admin", "--token-file", str(file))

    assert code == ExitCode.USAGE
    assert "another token of this id is kept" in err
    assert holds(url, GIVEN)


@pytest.mark.parametrize("text", ["swordfish", GIVEN[:-1], GIVEN.upper(), GIVEN + "\n" + GIVEN])
def test_what_is_no_token_is_rejected_without_being_shown(
    vigie: Vigie, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "token"
    file.write_text(text)

    code, _, err = vigie("create", "admin", "--token-file", str(file))

    assert code == ExitCode.USAGE
    assert "is no token" in err
    assert text not in err
    assert as_json(vigie("list", "--json")) == []
