"""Subscriptions and events for the rules of alerts, drawn so that they often meet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from schemas.api.matchers import Filter, Matcher
from schemas.api.subscriptions import EventType, SubscriptionSpec
from tests.support.notifications import gateway_event, incident_event
from workers.alerts.event import AlertEvent

SENSORS: Final = ("pump-1", "pump-2", "Pump-1", "valve-1", "valve-[1]", "p", "é\n1")
CHANNELS: Final = ("pressure", "flow", "pressure-2")
LABELS: Final[Mapping[str, tuple[str, ...]]] = {
    "site": ("lyon", "paris", "Lyon", "lyon\n"),
    "line": ("1", "2"),
    "above": SENSORS[:4],
}
TYPES: Final = tuple(kind.value for kind in EventType)
SEVERITIES: Final = ("low", "medium", "high")
GLOBS: Final = ("pump-*", "*-1", "p*", "*", "[pv]*-1", "pump-?", "*ump*", "v*[[]1]", "?", "[!p]*")
PATTERNS: Final = ("pump-.*", "lyon|paris", ".*", ".+", "", "[a-z]+-1", "(?i)lyon", "l.on", "high")
WEBHOOK: Final = {"kind": "webhook", "url": "https://receiver.example/hook"}


def examples(most: int) -> settings:
    """So many examples, however busy the machine is."""
    return settings(max_examples=most, deadline=None, suppress_health_check=[HealthCheck.too_slow])


sensors = st.sampled_from(SENSORS)
label_sets: SearchStrategy[dict[str, str]] = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(texts) for name, texts in LABELS.items()}
)


def spec_of(**given: Any) -> SubscriptionSpec:
    """A subscription, as a request would bring it."""
    return SubscriptionSpec.model_validate({"name": "desk", "sink": WEBHOOK, **given})


def matcher(name: str, how: str, value: str) -> Matcher:
    """A matcher by its operator."""
    return Matcher(
        name=name, value=value, is_regex=how.endswith("~"), is_equal=not how.startswith("!")
    )


def alert(what: str = "opened", **incident: Any) -> AlertEvent:
    """An event of an incident."""
    return AlertEvent.of(incident_event(what, **incident))


@st.composite
def alerts(draw: st.DrawFn) -> AlertEvent:
    """Events of incidents, of Vigie's own health, and of neither."""
    kind = draw(st.sampled_from([*TYPES[:5], *TYPES]))
    if not kind.startswith(("incident", "detector")):
        return AlertEvent.of(gateway_event(kind, draw(sensors)))
    document = incident_event(
        sensor=draw(sensors),
        severity=draw(st.sampled_from(SEVERITIES)),
        labels=draw(label_sets),
        peak=draw(st.sampled_from([1.0, 1.5, 3.0, 40.0])),
        kind="detector" if kind.startswith("detector") else "anomaly",
        channels=[
            {"channel": name} for name in draw(st.lists(st.sampled_from(CHANNELS), max_size=2))
        ],
    )
    return AlertEvent.of({**document, "type": kind})


_TEXTS: Final[Mapping[str, tuple[str, ...]]] = {
    "subject": (*SENSORS, "pump", "-1"),
    "type": (*TYPES[:3], "incident.", "opened"),
    "severity": SEVERITIES,
    "nothere": ("x",),
    "source": ("/vigie/plant", "/vigie"),
}
_attribute_texts = (
    st.sets(st.sampled_from(sorted(_TEXTS)), min_size=1, max_size=2)
    .map(sorted)
    .flatmap(lambda names: st.fixed_dictionaries({n: st.sampled_from(_TEXTS[n]) for n in names}))
)
filter_documents: SearchStrategy[dict[str, Any]] = st.recursive(
    st.tuples(st.sampled_from(["exact", "prefix", "suffix"]), _attribute_texts).map(
        lambda pair: {pair[0]: pair[1]}
    ),
    lambda inner: (
        st.tuples(st.sampled_from(["all", "any"]), st.lists(inner, min_size=1, max_size=3)).map(
            lambda pair: {pair[0]: pair[1]}
        )
        | inner.map(lambda one: {"not": one})
    ),
    max_leaves=6,
).filter(lambda document: _depth(document) <= 8)
filters: SearchStrategy[Filter] = filter_documents.map(Filter.model_validate)


def _depth(document: Mapping[str, Any]) -> int:
    ((how, inner),) = document.items()
    within = inner if how in {"all", "any"} else [inner] if how == "not" else []
    return 1 + max((_depth(one) for one in within), default=0)


@st.composite
def matchers(draw: st.DrawFn) -> Matcher:
    """Matchers of labels that there are, and of some that there are not."""
    name = draw(st.sampled_from([*LABELS, "sensor_id", "severity", "kind", "missing"]))
    how = draw(st.sampled_from(["=", "=", "!=", "=~", "!~"]))
    if how.endswith("~"):
        return matcher(name, how, draw(st.sampled_from(PATTERNS)))
    texts = (*LABELS.get(name, SENSORS), *SEVERITIES, "anomaly", "")
    return matcher(name, how, draw(st.sampled_from(texts)))


@st.composite
def specs(draw: st.DrawFn) -> SubscriptionSpec:
    """Subscriptions of every kind; each condition is there seldom, so that some pass."""

    def seldom(strategy: SearchStrategy[Any]) -> SearchStrategy[Any]:
        return st.none() | st.none() | strategy

    given: dict[str, Any] = {
        "types": draw(seldom(st.lists(st.sampled_from(TYPES), min_size=1, max_size=4))),
        "filters": draw(seldom(st.lists(filter_documents, max_size=2))),
        "matchers": draw(seldom(st.lists(matchers(), max_size=3))),
        "sensors": draw(st.lists(sensors | st.sampled_from(GLOBS), max_size=2)),
        "channels": draw(seldom(st.lists(st.sampled_from([*CHANNELS, "pr*"]), max_size=2))),
        "min_severity": draw(seldom(st.sampled_from(SEVERITIES))),
        "min_score": draw(seldom(st.sampled_from([0.0, 1.5, 3.0]))),
    }
    return spec_of(**{name: value for name, value in given.items() if value is not None})
