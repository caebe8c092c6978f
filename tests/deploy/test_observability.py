"""Alert rules, dashboards and runbooks: what they name exists, and each alert can fire and rest."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import pytest
import typer.main
import yaml

from schemas.settings import Settings
from tests.support.api import served
from tests.support.gateway_health import fill, metrics_of, taking_in
from tests.support.observability import (
    METRIC,
    OF_PROMETHEUS,
    RULE_TESTS,
    RULES,
    RUNBOOKS,
    SELECTOR,
    dashboards,
    driver_exposition,
    metrics_table,
    panels,
    queries,
    rules,
    series_of,
)
from workers.cli.main import build_app

SEVERITIES: Final = {"critical", "warning", "info"}
SECTIONS: Final = ["## Impact", "## Look at", "## Do", "## Harmless when"]
PROMTOOL: Final = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="needs promtool: run requirements/peers.sh"
)
GUIDE: Final = RUNBOOKS.parent / "guide-observability.md"
ALERTS: Final = [rule["alert"] for rule in rules()]


@pytest.fixture(scope="module")
def gateway_exposition(tmp_path_factory: pytest.TempPathFactory) -> str:
    """/metrics of a gateway of which every metric has a value."""
    with served(tmp_path_factory.mktemp("gateway")) as api:
        fill(api)
        taking_in(api, lag=0)
        api.gateway.state.dispatcher = type("Dispatcher", (), {"counts": {}})()
        return metrics_of(api)


@pytest.fixture(scope="module")
def series(gateway_exposition: str) -> dict[str, dict[str, set[str]]]:
    """What driver and gateway really say, by metric and label."""
    return series_of(driver_exposition()) | series_of(gateway_exposition)


# -- what expressions name -------------------------------------------------------------------------


def unknown_in(expression: str, series: dict[str, dict[str, set[str]]]) -> list[str]:
    """The metrics, labels and label values of an expression that nobody gives."""
    wrong = []
    for match in METRIC.finditer(expression):
        name = match[0].partition("{")[0]
        if name not in series:
            wrong.append(name)
            continue
        for label, operator, value in SELECTOR.findall(match[1] or ""):
            values = series[name].get(label, set())
            if label in OF_PROMETHEUS:
                continue
            if label not in series[name]:
                wrong.append(f"{name}{{{label}}}")
            elif operator in {"=", "=~"} and not all(one in values for one in value.split("|")):
                wrong.append(f'{name}{{{label}="{value}"}}')
    return wrong


@pytest.mark.parametrize(("place", "expression"), list(queries()))
def test_every_metric_label_and_value_that_is_named_exists(
    place: str, expression: str, series: dict[str, dict[str, set[str]]]
) -> None:
    assert METRIC.search(expression) or "up{" in expression or "ALERTS" in expression, place
    assert unknown_in(expression, series) == []


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("vigie_raedy == 0", "vigie_raedy"),
        ('vigie_ready{kind="x"}', "vigie_ready{kind}"),
        ('vigie_actual_workers{kind="gpu"}', 'vigie_actual_workers{kind="gpu"}'),
    ],
)
def test_a_name_that_nobody_gives_is_found(
    expression: str, wrong: str, series: dict[str, dict[str, set[str]]]
) -> None:
    assert unknown_in(expression, series) == [wrong]


def test_the_guide_lists_the_metrics_that_there_are(gateway_exposition: str) -> None:
    _, listed, _ = re.split(r"<!-- /?metrics -->", GUIDE.read_text(encoding="utf-8"))
    assert listed.strip() == metrics_table(driver_exposition(), gateway_exposition)


# -- rules -----------------------------------------------------------------------------------------


def promtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    return subprocess.run(
        [PROMTOOL, *map(str, arguments)], capture_output=True, text=True, timeout=150, check=False
    )


@needs_promtool
def test_promtool_accepts_the_rules() -> None:
    found = promtool("check", "rules", RULES)
    assert found.returncode == 0, found.stdout + found.stderr


@needs_promtool
@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.stem)
def test_each_alert_fires_and_rests_as_its_tests_say(path: Path) -> None:
    found = promtool("test", "rules", path)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.slow
@needs_promtool
@pytest.mark.parametrize("wrong", ["vector(1)", "vector(1) > 1"], ids=["always", "never"])
def test_an_alert_that_always_or_never_fires_fails_its_test(tmp_path: Path, wrong: str) -> None:
    whole = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    for group in whole["groups"]:
        for rule in group["rules"]:
            rule["expr"] = wrong
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(whole))
    (tmp_path / "tests").mkdir()
    failed = ""
    for path in RULE_TESTS:
        copied = Path(shutil.copy(path, tmp_path / "tests"))
        failed += promtool("test", "rules", copied).stderr
    assert [name for name in ALERTS if f'alertname=\\"{name}\\"' not in failed] == []


def test_each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    tests = [
        test for path in RULE_TESTS for test in yaml.safe_load(path.read_text("utf-8"))["tests"]
    ]
    expected = {
        f"{alert} {case}": samples
        for alert in ALERTS
        for case, samples in (("fires", [{"value": 1}]), ("does not fire", []))
    }
    found: dict[str, Any] = {}
    for test in tests:
        (judged,) = test["promql_expr_test"]
        alert = test["name"].partition(" ")[0]
        assert f'alertname="{alert}"' in judged["expr"], test["name"]
        case = test["name"].partition(":")[0]
        assert found.setdefault(case, judged["exp_samples"]) == judged["exp_samples"], test["name"]
    assert found == expected


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_what_it_means_and_where_to_read_on(
    rule: dict[str, Any],
) -> None:
    assert re.fullmatch(r"Vigie[A-Z]\w+", rule["alert"])
    assert rule["labels"]["severity"] in SEVERITIES
    told = rule["annotations"]
    assert told.keys() == {"summary", "description", "runbook_url"}
    assert len(told["summary"]) <= 90
    assert told["runbook_url"] == f"docs/runbooks/{rule['alert']}.md"


# -- runbooks --------------------------------------------------------------------------------------


def test_there_is_a_page_for_every_alert_and_none_without_one() -> None:
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == set(ALERTS)
    assert len(ALERTS) == len(set(ALERTS))


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_page_says_meaning_impact_what_to_look_at_what_to_do_and_when_it_is_harmless(
    rule: dict[str, Any],
) -> None:
    text = (RUNBOOKS / f"{rule['alert']}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {rule['alert']}\n\n*Severity: {rule['labels']['severity']}.* ")
    parts = re.split(r"^(## .+)$", text, flags=re.MULTILINE)
    assert parts[1::2] == SECTIONS
    assert all(len(part.strip()) > 20 for part in parts[2::2])


@cache
def vigie() -> Any:
    return typer.main.get_command(build_app())


def unknown_words(said: str) -> list[str]:
    """The commands and options of a command line that there are not; values are not looked at."""
    command, words = vigie(), said.split()
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return words[:1]
        command, words = command.commands[words[0]], words[1:]
    known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    return [word for word in words if word.startswith("-") and word not in known]


@pytest.mark.parametrize(
    ("said", "wrong"),
    [("size --url http://X", "--url"), ("tokens make", "make"), ("sise --sensors 3", "sise")],
)
def test_a_command_or_option_that_there_is_not_is_found(said: str, wrong: str) -> None:
    assert unknown_words(said) == [wrong]


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_the_commands_and_settings_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for said in re.findall(r"`vigie ([a-z][^`]*)`", text):
        assert unknown_words(said) == [], f"vigie {said}"
    sections = Settings().model_dump()
    for section, key in re.findall(r"`([a-z]+)\.([a-z_]+)", text):
        if section in sections:
            assert key in sections[section], f"{section}.{key}"


# -- dashboards ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", dashboards())
def test_a_dashboard_can_be_provisioned_anywhere(name: str) -> None:
    dashboard = dashboards()[name]
    assert "id" not in dashboard, "a number of the Grafana that it was made in"
    variables = {one["name"]: one for one in dashboard["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    for panel in panels(dashboard):
        for one in (panel, *panel["targets"]):
            assert one["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert dashboard["tags"] == ["vigie"]


def test_no_two_dashboards_have_one_uid_or_title() -> None:
    for key in ("uid", "title"):
        found = [dashboard[key] for dashboard in dashboards().values()]
        assert len(found) == len(set(found)) == 3


@pytest.mark.parametrize("name", dashboards())
def test_every_panel_explains_itself_and_has_a_unit_and_thresholds(name: str) -> None:
    for panel in panels(dashboards()[name]):
        assert len(panel["description"]) > 10, panel["title"]
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"], panel["title"]
        assert defaults["thresholds"]["steps"][0]["value"] is None
        references = [target["refId"] for target in panel["targets"]]
        assert len(references) == len(set(references)) >= 1


@pytest.mark.parametrize("name", dashboards())
def test_panels_have_ids_of_their_own_and_do_not_overlap(name: str) -> None:
    found = dashboards()[name]["panels"]
    assert len({panel["id"] for panel in found}) == len(found)
    for panel in found:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24, panel["title"]
    for one, other in combinations(found, 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[at] < other[at] + other[size] and other[at] < one[at] + one[size]
        for at, size in (("x", "w"), ("y", "h"))
    )
