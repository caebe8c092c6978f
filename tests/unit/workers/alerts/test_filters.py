"""Filters of the CloudEvents Subscriptions API."""

from __future__ import annotations

import pytest
from hypothesis import given
from pydantic import ValidationError

from schemas.api.matchers import Filter
from tests.support.alert_specs import alerts, examples, filter_documents, filters
from workers.alerts.filters import passes, passes_all

ATTRIBUTES = {"type": "incident.opened", "subject": "pump-1", "severity": "high"}


def does(document):
    return passes(Filter.model_validate(document), ATTRIBUTES)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"exact": {"subject": "pump-1"}}, True),
        ({"exact": {"subject": "Pump-1"}}, False),
        ({"exact": {"subject": "pump-1", "severity": "low"}}, False),
        ({"exact": {"subject": "pump"}}, False),
        ({"prefix": {"type": "incident."}}, True),
        ({"prefix": {"type": "Incident."}}, False),
        ({"prefix": {"type": "incident.", "subject": "valve"}}, False),
        ({"prefix": {"subject": "ump"}}, False),
        ({"suffix": {"type": ".opened"}}, True),
        ({"suffix": {"subject": "ump"}}, False),
        ({"suffix": {"type": ".opened", "subject": "-2"}}, False),
        ({"all": [{"exact": {"subject": "pump-1"}}, {"prefix": {"type": "incident"}}]}, True),
        ({"all": [{"exact": {"subject": "pump-1"}}, {"prefix": {"type": "x"}}]}, False),
        ({"any": [{"exact": {"subject": "pump-2"}}, {"prefix": {"type": "incident"}}]}, True),
        ({"any": [{"exact": {"subject": "pump-2"}}]}, False),
        ({"not": {"exact": {"subject": "pump-1"}}}, False),
        ({"not": {"exact": {"subject": "pump-2"}}}, True),
    ],
)
def test_a_dialect_means_what_the_specification_says(document, expected):
    assert does(document) is expected


@pytest.mark.parametrize("dialect", ["exact", "prefix", "suffix"])
def test_an_attribute_that_is_not_there_matches_no_text(dialect):
    assert not does({dialect: {"missing": "x"}})
    assert does({"not": {dialect: {"missing": "x"}}})


def test_no_filters_pass_everything():
    assert passes_all((), ATTRIBUTES)


@pytest.mark.parametrize(
    "document",
    [
        {"sql": "true"},
        {},
        {"exact": {"a": "b"}, "prefix": {"a": "b"}},
        {"all": []},
        {"exact": {}},
        {"exact": {"a": ""}},
        {"exact": {"Upper": "x"}},
    ],
)
def test_what_is_no_filter_of_a_known_dialect_is_rejected(document):
    with pytest.raises(ValidationError):
        Filter.model_validate(document)


def naive(document, attributes):
    """The specification, read word by word."""
    ((how, inner),) = document.items()
    if how == "all":
        return False not in [naive(one, attributes) for one in inner]
    if how == "any":
        return True in [naive(one, attributes) for one in inner]
    if how == "not":
        return not naive(inner, attributes)
    cut = {
        "exact": lambda own, text: own,
        "prefix": lambda own, text: own[: len(text)],
        "suffix": lambda own, text: own[-len(text) :],
    }[how]
    return all(
        name in attributes and cut(attributes[name], text) == text for name, text in inner.items()
    )


@examples(80)
@given(filter_documents, alerts())
def test_filters_equal_the_specification_read_word_by_word(document, event):
    found = passes(Filter.model_validate(document), event.attributes)

    assert found is naive(document, event.attributes)


@examples(50)
@given(filters)
def test_a_filter_survives_its_document(rule):
    assert Filter.model_validate_json(rule.model_dump_json(exclude_none=True)) == rule
