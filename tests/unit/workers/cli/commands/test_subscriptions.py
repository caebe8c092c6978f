"""`vigie subscriptions`: all that the interface does, by options and by files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.asked import Asked, Ended, whole_event
from workers.cli.exits import ExitCode

HOOK = "https://receiver.example/hook"


def made(gateway: Asked, *options: str, name: str = "desk") -> dict[str, Any]:
    ended = gateway.vigie("subscriptions", "create", "--name", name, *options, "--json")
    found: dict[str, Any] = ended.json
    return found


def spec(gateway: Asked, name: str = "desk") -> dict[str, Any]:
    shown: dict[str, Any] = gateway.vigie("subscriptions", "show", name, "--json").json["spec"]
    return shown


def deliveries(gateway: Asked, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = gateway.vigie(
        "subscriptions", "deliveries", "desk", *options, "--json"
    ).json
    return found


def refused(ended: Ended, *words: str, code: ExitCode = ExitCode.USAGE) -> None:
    assert ended.code == code, ended
    for one in words:
        assert one in " ".join(ended.err.replace("│", " ").split()), ended.err


def test_a_webhook_is_made_and_its_secret_is_printed_this_once(gateway: Asked) -> None:
    ended = gateway.vigie("subscriptions", "create", "--name", "desk", "--webhook", HOOK)
    assert ended.code == ExitCode.OK
    first, secret = ended.out.splitlines()
    assert first.endswith("desk")
    assert secret.startswith("whsec_")
    assert "not shown again" in ended.err
    assert secret not in gateway.vigie("subscriptions", "show", "desk", "--json").out


def test_every_option_becomes_its_field(gateway: Asked, tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("Authorization: Bearer s3cret\n\nX-Site: Lyon\n")
    second = made(gateway, "--email", "chief@example.com", "--tenant", "acme", name="chief")["id"]
    made(
        gateway,
        *("--webhook", HOOK, "--format", "cloudevents", "--header-file", "headers"),
        *("--type", "incident.opened", "--type", "incident.updated", "--description", "d"),
        *("--min-severity", "medium", "--min-score", "1.5", "--sensor", "pump-*"),
        *("--channel", "flow", "--match", 'site="Lyon"', "--match", "line!~9|8"),
        *("--filter", '{"prefix": {"subject": "pump"}}', "--suppressed", "--escalations-only"),
        *("--hours", "mon-fri 08:00-18:00 Europe/Paris", "--max-per-hour", "30"),
        *("--group-by", "site", "--group-wait", "10s", "--group-interval", "2m"),
        *("--group-repeat", "1h", "--escalate-to", "chief", "--escalate-after", "20m"),
        *("--title", "{{ sensor }}", "--text", "!", "--max-age", "1d", "--tenant", "acme"),
    )
    found = spec(gateway)
    assert found.pop("sink") == {
        "kind": "webhook",
        "url": HOOK,
        "format": "cloudevents",
        "headers": {"Authorization": "**********", "X-Site": "**********"},
    }
    assert [one.pop("value") for one in found["matchers"]] == ["Lyon", "9|8"]
    assert found.pop("matchers") == [
        {"name": "site", "isRegex": False, "isEqual": True},
        {"name": "line", "isRegex": True, "isEqual": False},
    ]
    assert found.pop("filters")[0]["prefix"] == {"subject": "pump"}
    (hours,) = found.pop("hours")
    assert (hours["days"], hours["time_zone"]) == (
        ["mon", "tue", "wed", "thu", "fri"],
        "Europe/Paris",
    )
    assert found == {
        "name": "desk",
        "description": "d",
        "types": ["incident.opened", "incident.updated"],
        "min_severity": "medium",
        "min_score": 1.5,
        "sensors": ["pump-*"],
        "channels": ["flow"],
        "suppressed": True,
        "escalations_only": True,
        "max_per_hour": 30,
        "group": {"by": ["site"], "wait_s": 10.0, "interval_s": 120.0, "repeat_s": 3600.0},
        "cooldown_s": 0.0,
        "escalate": {"to": second, "after_s": 1200.0},
        "template": {"title": "{{ sensor }}", "text": "!"},
        "max_age_s": 86_400.0,
        "tenant": "acme",
        "enabled": True,
    }


@pytest.mark.parametrize(
    ("options", "sink"),
    [
        (("--email", "a@example.com", "--email", "b@example.com"),
         {"kind": "email", "to": ["a@example.com", "b@example.com"]}),
        (("--kafka-topic", "alarms"), {"kind": "kafka", "topic": "alarms"}),
        (("--alertmanager", "http://am-1:9093", "--alertmanager", "http://am-2:9093"),
         {"kind": "alertmanager", "urls": ["http://am-1:9093", "http://am-2:9093"],
          "resend_s": 60.0}),
        (("--pagerduty-key-file", "secret"),
         {"kind": "pagerduty", "routing_key": "**********",
          "url": "https://events.pagerduty.com/v2/enqueue"}),
        (("--apprise-file", "secret"), {"kind": "apprise", "url": "**********"}),
    ],
)  # fmt: skip
def test_each_sink_has_its_option(
    gateway: Asked, tmp_path: Path, options: tuple[str, ...], sink: dict[str, Any]
) -> None:
    (tmp_path / "secret").write_text("ntfy://topic\n")
    assert made(gateway, *options)["secret"] is None
    assert spec(gateway)["sink"] == sink


@pytest.mark.parametrize("form", ["json", "toml"])
def test_a_file_is_the_subscription_and_options_win(
    gateway: Asked, tmp_path: Path, form: str
) -> None:
    path = tmp_path / f"desk.{form}"
    path.write_text(
        'name = "file"\nmin_severity = "low"\n[group]\nby = ["site"]\nwait_s = 5\n'
        f'[sink]\nkind = "webhook"\nurl = "{HOOK}"\n'
        if form == "toml"
        else json.dumps(
            {
                "name": "file",
                "min_severity": "low",
                "group": {"by": ["site"], "wait_s": 5},
                "sink": {"kind": "webhook", "url": HOOK},
            }
        )
    )
    made(gateway, "--file", str(path), "--group-interval", "1m")
    found = spec(gateway)
    assert (found["min_severity"], found["sink"]["url"]) == ("low", HOOK)
    assert found["group"] == {
        "by": ["site"],
        "wait_s": 5.0,
        "interval_s": 60.0,
        "repeat_s": 14400.0,
    }


def test_a_change_changes_what_is_given_and_nothing_else(gateway: Asked, tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("X-Key: s3cret")
    made(gateway, "--webhook", HOOK, "--header-file", "headers", "--cooldown", "15m")
    before = spec(gateway)
    ended = gateway.vigie("subscriptions", "change", "desk", "--min-severity", "high")
    assert ended.code == ExitCode.OK
    assert spec(gateway) == before | {"min_severity": "high"}
    gateway.vigie("subscriptions", "change", "desk", "--clear", "cooldown_s", "--group-by", "")
    after = spec(gateway)
    assert (after["cooldown_s"], after["group"]["by"]) == (0.0, [])
    gateway.vigie("subscriptions", "change", "desk", "--kafka-topic", "alarms")
    assert spec(gateway)["sink"] == {"kind": "kafka", "topic": "alarms"}
    refused(gateway.vigie("subscriptions", "change", "desk"), "say what to change")


def test_what_is_wrong_is_said_field_by_field(gateway: Asked) -> None:
    create = ("subscriptions", "create", "--name", "desk")
    refused(gateway.vigie(*create, "--webhook", "ftp://x/y"), "body/sink/webhook/url", "http://")
    refused(gateway.vigie(*create), "body/sink", "Field required")
    refused(gateway.vigie(*create, "--webhook", HOOK, "--email", "a@b.c"), "one sink")
    refused(gateway.vigie(*create, "--format", "cloudevents"), "belong to --webhook")
    refused(gateway.vigie(*create, "--email", "a@b.c", "--match", "site"), "--match", "no matcher")
    refused(gateway.vigie(*create, "--email", "a@b.c", "--hours", "noon"), "--hours", "mon-fri")
    refused(gateway.vigie(*create, "--email", "a@b.c", "--cooldown", "soon"), "no time span")
    refused(gateway.vigie(*create, "--email", "a@b.c", "--filter", "{"), "--filter")
    refused(gateway.vigie(*create, "--apprise-file", "nowhere"), "cannot read nowhere")
    refused(gateway.vigie(*create, "--file", "nowhere.json"), "cannot read nowhere.json")
    refused(
        gateway.vigie(*create, "--email", "a@b.c", "--escalate-to", "nobody"),
        "No subscription is called nobody",
        code=ExitCode.FAILURE,
    )
    assert gateway.vigie("subscriptions", "list", "--json").json == []


def test_the_list_shows_each_and_a_name_of_two_is_ambiguous(gateway: Asked) -> None:
    assert "no subscription" in gateway.vigie("subscriptions", "list").out
    first = made(gateway, "--email", "a@b.c")
    second = made(gateway, "--kafka-topic", "alarms")
    shown = gateway.vigie("subscriptions", "list").out
    for one, sink in ((first, "email"), (second, "kafka")):
        assert f"{one['id']}  desk  {sink}" in " ".join(shown.split(" ")).replace("   ", "  ")
    refused(
        gateway.vigie("subscriptions", "show", "desk"), first["id"], second["id"],
        code=ExitCode.FAILURE,
    )  # fmt: skip
    assert gateway.vigie("subscriptions", "show", first["id"]).code == ExitCode.OK


def test_one_is_disabled_enabled_and_deleted(gateway: Asked) -> None:
    made(gateway, "--email", "a@b.c")
    assert gateway.vigie("subscriptions", "disable", "desk").out == "desk is disabled.\n"
    assert spec(gateway)["enabled"] is False
    assert "disabled" in gateway.vigie("subscriptions", "list").out
    assert gateway.vigie("subscriptions", "enable", "desk").code == ExitCode.OK
    assert spec(gateway)["enabled"] is True
    assert gateway.vigie("subscriptions", "delete", "desk").code == ExitCode.OK
    assert gateway.vigie("subscriptions", "list", "--json").json == []


def test_a_key_that_comes_again_makes_nothing_more(gateway: Asked) -> None:
    key = ("--webhook", HOOK, "--idempotency-key", "k-1")
    assert made(gateway, *key) == made(gateway, *key)
    assert len(gateway.vigie("subscriptions", "list", "--json").json) == 1


def test_secrets_are_rotated_or_brought(gateway: Asked, tmp_path: Path) -> None:
    old = made(gateway, "--webhook", HOOK)["secret"]
    ended = gateway.vigie("subscriptions", "rotate-secret", "desk", "--overlap", "1h")
    assert ended.out.startswith("whsec_")
    assert ended.out.strip() != old
    assert "signs as well until" in ended.err
    (tmp_path / "own").write_text("whsec_" + "A" * 44)
    rotate = ("subscriptions", "rotate-secret", "desk", "--secret-file", "own", "--json")
    assert gateway.vigie(*rotate).json["secret"] == "whsec_" + "A" * 44


def test_deliveries_are_seen_and_recovered(gateway: Asked) -> None:
    gateway.happens(whole_event("opened"))
    made(gateway, "--webhook", HOOK)
    assert deliveries(gateway) == []
    ended = gateway.vigie("subscriptions", "recover", "desk", "--since", "1h")
    assert "0 given up are sent again, 1 had not been told" in ended.out
    (found,) = deliveries(gateway, "--state", "waiting")
    assert deliveries(gateway, "--state", "dead") == []
    shown = gateway.vigie("subscriptions", "deliveries", "desk").out
    assert f"{found['id']}  incident.opened  waiting" in shown
    number = str(found["id"])
    assert "not tried" in gateway.vigie("subscriptions", "attempts", "desk", number).out
    refused(
        gateway.vigie("subscriptions", "resend", "desk", number), "only what is over",
        code=ExitCode.FAILURE,
    )  # fmt: skip
    refused(
        gateway.vigie("subscriptions", "attempts", "desk", "999"), "no such delivery",
        code=ExitCode.FAILURE,
    )  # fmt: skip


def test_a_template_is_previewed_also_that_of_a_subscription(gateway: Asked) -> None:
    made(gateway, "--email", "a@b.c", "--title", "T {{ sensor }}", "--text", "B")
    preview = ("subscriptions", "preview")
    assert gateway.vigie(*preview, "--subscription", "desk").out == "T example-pump\nB\n"
    assert gateway.vigie(*preview, "--title", "{{ severity }}", "--text", "B").out == "medium\nB\n"
    refused(gateway.vigie(*preview, "--title", "{{ 1 +"), "template.title")


def test_a_trial_says_when_nobody_delivers(gateway: Asked) -> None:
    made(gateway, "--email", "a@b.c")
    refused(
        gateway.vigie("subscriptions", "test", "desk"), "does not deliver", code=ExitCode.FAILURE
    )


def test_what_is_not_there_is_said(gateway: Asked) -> None:
    refused(
        gateway.vigie("subscriptions", "show", str(uuid4())), "no such subscription",
        code=ExitCode.FAILURE,
    )  # fmt: skip
