"""What settings say about Kafka."""

from __future__ import annotations

import string
import tomllib
from itertools import product

import pytest
from kafka import KafkaConsumer
from pydantic import ValidationError

from schemas.settings import Settings
from workers.errors import SettingsError
from workers.kafka.factory import (
    connection_of,
    member_of,
    repartition_specs,
    sink_of,
    topic_specs,
)
from workers.kafka.unkeyed import keyed_name


def settings(group: str, instance: str) -> Settings:
    return Settings.model_validate({"kafka": {"group": group, "instance": instance}})


def test_no_two_workers_go_by_one_name():
    """Of a rival with the same name Kafka thinks that it is the same worker, and fences one."""
    groups, instances, slots = (
        ("a", "a.b", "a.b.0", "a.0", ".", ".."),
        ("b", "b-0", "0", "_"),
        (0, 1),
    )
    members = {
        member_of(settings(group, instance).kafka, slot)
        for group, instance, slot in product(groups, instances, slots)
    }
    assert len(members) == len(groups) * len(instances) * len(slots)


@pytest.mark.parametrize(
    ("group", "instance"),
    [(".", "-"), ("g" * 180, "f" * 60), (string.ascii_letters + string.digits + "._-", "F_1-")],
)
def test_the_client_takes_every_name_that_the_settings_allow(group, instance):
    member = member_of(settings(group, instance).kafka, 999_999)
    KafkaConsumer._validate_group_instance_id(None, member)


@pytest.mark.parametrize(
    ("group", "instance"),
    [
        ("", "main"),
        ("g" * 181, "main"),
        ("two words", "main"),
        ("groupe-d\u00e9t\u00e9", "main"),
        ("g", ""),
        ("g", "f" * 61),
        ("g", "a.b"),
        ("g", "a\n"),
    ],
)
def test_names_that_kafka_refuses_are_refused_by_the_settings(group, instance):
    with pytest.raises(ValidationError, match=r"kafka\.(group|instance)"):
        settings(group, instance)


@pytest.mark.parametrize("option", [{"retry_backof_ms": 5}, {"acks": 0}, {"linger_ms": "soon"}])
def test_an_option_that_the_client_cannot_use_is_named_before_a_client_is_made(option):
    (key,) = option
    bad = Settings.model_validate({"kafka": {"client": option}})
    for make in (lambda: connection_of(bad.kafka), lambda: sink_of(bad, 0)):
        with pytest.raises(SettingsError, match=rf"^kafka\.client\.{key} "):
            make()


def test_a_topic_cannot_be_repartitioned_into_itself_and_what_to_paste_is_said():
    own = Settings.model_validate({"topics": {"readings": "unk"}, "repartition": {"source": "unk"}})

    with pytest.raises(SettingsError) as told:
        repartition_specs(own)

    found = tomllib.loads(str(told.value).split("\n\n", 1)[1].rsplit("\n\n", 1)[0])
    pasted = Settings.model_validate(found)
    assert [spec.name for spec in repartition_specs(pasted)] == ["unk", "vigie.shuffled"]
    assert pasted.topics.readings == "unk.by-sensor"


def test_the_name_of_a_keyed_topic_is_one_that_kafka_takes():
    assert len(keyed_name("r" * 249)) == 249


@pytest.mark.parametrize(("copies", "needed"), [(1, None), (2, None), (3, "2"), (5, "2")])
def test_of_three_copies_two_must_have_what_counts(copies, needed):
    chosen = Settings.model_validate({"topics": {"replication_factor": copies}})
    specs = [*topic_specs(chosen.topics), *repartition_specs(chosen)]

    assert {spec.configs.get("min.insync.replicas") for spec in specs} == {needed}
    assert {spec.replication_factor for spec in specs} == {copies}
