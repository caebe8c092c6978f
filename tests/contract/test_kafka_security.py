"""A Kafka behind locks: four ways in, one clear error for each way to be kept out, and the rights.

One embedded broker serves the module. What comes in by each way goes through once, exactly; what
does not says who was refused and why, and shows no secret, in any log at debug level either.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from schemas.settings import Settings
from tests.support.broker import read_settled
from tests.support.certificates import Authority
from tests.support.secure_broker import CLIENT, SECRET, SecureBroker, secure_broker
from tests.support.wait import wait_until
from workers.errors import BrokerUnavailableError, SettingsError
from workers.kafka.client import CommittedOffset, Connection
from workers.kafka.deadline import Deadline
from workers.kafka.factory import (
    admin_of,
    open_publisher,
    open_reader,
    topic_specs,
)
from workers.kafka.kafka_python.consumer.source import SourceConfig
from workers.kafka.kafka_python.consumer.table import TableConfig
from workers.kafka.kafka_python.consumer.tail import TailConfig
from workers.kafka.kafka_python.producer.transactional_sink import TransactionalSinkConfig
from workers.kafka.rights import Operation, Resource, Right, Role, rights_of

pytestmark = pytest.mark.kafka

USER = "alice"
PRINCIPAL = f"User:{USER}"
PASSWORD = "correct-horse-battery"
WRONG = "battery-horse-wrong"
SECRETS = (PASSWORD, WRONG, SECRET, "eyJ")
"""The last is how every signed token begins."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    with secure_broker(tmp_path_factory.mktemp("secure"), reauth_s=4.0) as found:
        found.add_user(USER, PASSWORD)
        yield found


@pytest.fixture
def settings(broker: SecureBroker, request: pytest.FixtureRequest) -> Settings:
    """Topics of this test's own, of one partition, with a reading and a verdict."""
    name = request.node.name.partition("[")[0][-20:] + str(abs(hash(request.node.name)) % 10**6)
    topics = {key: f"{name}.{key}" for key in Settings().topics.model_dump() if "_f" not in key}
    topics.pop("partitions")
    made = Settings.model_validate({"kafka": {"group": name}, "topics": topics})
    specs = [replace(spec, partitions=1) for spec in topic_specs(made.topics)]
    admin_of(broker.admin).create_topics(specs)
    with open_publisher(broker.admin) as publisher:
        for topic in (made.topics.readings, made.topics.verdicts, made.topics.sensor_state):
            publisher.send(topic, key=b"k", value=b"seed")
    return made


@pytest.fixture(autouse=True)
def no_secret_in_a_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG):
        yield
    shown = [secret for secret in SECRETS if secret in caplog.text]
    assert not shown


def run_once(settings: Settings, connection: Connection) -> None:
    """What an ingest worker does, in one unit: look, read, write everywhere, commit."""
    topics, member = settings.topics, f"{settings.kafka.group}.{settings.kafka.instance}.0"
    admin = admin_of(connection)
    admin.grow_topics([replace(spec, partitions=1) for spec in topic_specs(topics)])
    with (
        SourceConfig(
            connection=connection, topic=topics.readings, group=settings.kafka.group, member=member
        ).open() as source,
        TransactionalSinkConfig(connection=connection, transactional_id=member).open(
            source
        ) as sink,
        TableConfig(connection=connection, topic=topics.sensor_state).open() as table,
        TailConfig(connection=connection, topic=topics.verdicts).open() as tail,
    ):
        table.latest(0)
        wait_until(lambda: tail.poll(timeout_s=0.1), within=30)

        def polled() -> bool:
            found = source.poll(timeout_s=0.2, max_records=10)
            for partition in found.assigned:
                at = source.committed(partition)
                source.start(partition, at.next_offset if at else 0)
            for partition, records in found.records.items():
                for topic in _written(settings):
                    sink.send(topic, key=b"k", value=b"out")
                at = CommittedOffset(next_offset=records[-1].offset + 1)
                sink.commit({partition: at}, found.generation, deadline=Deadline.after(20))
            return bool(found.records)

        wait_until(polled, within=60)
    admin.remove_members(settings.kafka.group, [member])


def _written(settings: Settings) -> tuple[str, ...]:
    topics = settings.topics
    return (
        topics.anomalies,
        topics.denoised,
        topics.dead_letters,
        topics.sensor_state,
        topics.incidents,
    )


# -- four ways in -------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["TLS", "SCRAM", "OAUTHBEARER", "mTLS"])
def test_what_comes_in_by_each_way_goes_through_once(
    broker: SecureBroker, settings: Settings, way: str
) -> None:
    connection, principal = {
        "TLS": (broker.connection("TLS"), ""),
        "SCRAM": (broker.scram(USER, PASSWORD), PRINCIPAL),
        "OAUTHBEARER": (broker.oauth(sasl_oauthbearer_scope="kafka"), f"User:{CLIENT}"),
        "mTLS": (broker.mtls(), f"User:{CLIENT}"),
    }[way]
    if principal:
        broker.allow(principal, rights_of(Role.RUN, settings))
    run_once(settings, replace(connection, call_timeout_s=20))
    for topic in _written(settings):
        values = [record.value for record in read_settled(broker.admin, topic)]
        assert values.count(b"out") == 1
    group = admin_of(broker.admin).describe_group(settings.kafka.group, settings.topics.readings)
    assert {p: at.next_offset for p, at in group.committed.items()} == {0: 1}
    if way == "OAUTHBEARER":
        assert broker.provider.scopes == "kafka"


def test_a_token_is_renewed_before_it_expires(broker: SecureBroker, settings: Settings) -> None:
    """The broker asks again before a token is over (KIP-368), and hangs up on who has no other."""
    broker.allow(f"User:{CLIENT}", rights_of(Role.READER, settings))
    before, broker.provider.lifetime_s = broker.provider.given, 2.0
    try:
        with open_reader(broker.oauth(), [settings.topics.readings]) as reader:

            def renewed() -> bool:  # asks on: who is idle and was hung up on would not come back
                assert reader.ends() == {(settings.topics.readings, 0): 1}
                return broker.provider.given - before >= 3

            wait_until(renewed, within=40)
    finally:
        broker.provider.lifetime_s = 300.0


# -- kept out -----------------------------------------------------------------------------------


def _signed(authority: Authority, name: str, *, days: int = 1) -> dict[str, str]:
    certificate, key = authority.sign(name, "localhost", days=days)
    return {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}


def _other(broker: SecureBroker) -> Authority:
    return Authority(broker.authority.folder, "other-authority")


KEPT_OUT: dict[str, tuple[Callable[[SecureBroker], Connection], str]] = {
    "wrong password": (lambda b: b.scram(USER, WRONG), "does not let User:alice in"),
    "unknown user": (lambda b: b.scram("bob", WRONG), "does not let User:bob in"),
    "mechanism not offered": (
        lambda b: b.scram(USER, PASSWORD, sasl_mechanism="PLAIN"),
        "does not offer kafka.client.sasl_mechanism = PLAIN",
    ),
    "expired certificate": (
        lambda b: b.connection("EXPIRED"),
        "certificate has expired.*renew it at the broker",
    ),
    "wrong host name": (
        lambda b: b.connection("TLS", host="127.0.0.1"),
        "not valid for '127.0.0.1'.*reach it by a name that stands in it",
    ),
    "unknown authority": (
        lambda b: b.connection("TLS", ssl_cafile=str(_other(b).path)),
        "name the authority that signed it, a PEM file, as kafka.client.ssl_cafile",
    ),
    "plain client at a TLS port": (
        lambda b: Connection(bootstrap=f"localhost:{b.ports['TLS']}"),
        "speaks TLS at this port: set kafka.client.security_protocol = SSL",
    ),
    "TLS client at a plain port": (
        lambda b: replace(b.connection("TLS"), bootstrap=b.broker.bootstrap),
        "speaks no TLS at this port: set kafka.client.security_protocol = PLAINTEXT",
    ),
    "no user where one is asked for": (
        lambda b: b.connection("SASL", security_protocol="SSL"),
        "asks who we are at this port: set kafka.client.security_protocol = SASL_SSL",
    ),
    "a user where none is asked for": (
        lambda b: replace(b.scram(USER, PASSWORD), bootstrap=b.connection("TLS").bootstrap),
        "asks for no user at this port",
    ),
    "no certificate of ours": (
        lambda b: b.connection("MTLS"),
        "wants a certificate of ours: set kafka.client.ssl_certfile",
    ),
    "our certificate is of another authority": (
        lambda b: b.mtls(**_signed(_other(b), "stranger")),
        r"does not take the subject of the certificate .*stranger.pem \(CN=stranger\)",
    ),
    "our certificate has expired": (
        lambda b: b.mtls(**_signed(b.authority, "late", days=-1)),
        r"does not take .*\(CN=late\).*[Rr]enew kafka.client.ssl_certfile",
    ),
    "no token for us": (
        lambda b: b.oauth(sasl_oauthbearer_client_secret=WRONG),
        "gives vigie-client no token .status 401.: check .*client_secret",
    ),
}


@pytest.mark.parametrize("case", KEPT_OUT)
def test_who_is_kept_out_is_told_why_at_once(broker: SecureBroker, case: str) -> None:
    connect, said = KEPT_OUT[case]
    connection = replace(connect(broker), wait_timeout_s=None)  # it would wait for ever
    with pytest.raises(SettingsError, match=said) as raised:
        admin_of(connection).wait_for_broker()
    assert not [secret for secret in SECRETS if secret in str(raised.value)]


def test_a_wrong_password_names_the_principal(broker: SecureBroker) -> None:
    """Also where no command waited for the broker before."""
    wrong = broker.scram(USER, WRONG)
    impatient = replace(wrong, options={**wrong.options, "bootstrap_timeout_ms": 1000})
    with (
        pytest.raises(SettingsError, match="does not let User:alice in"),
        open_reader(impatient, ["t"]),
    ):
        pass


def test_a_token_that_is_over_is_refused_and_named(broker: SecureBroker) -> None:
    broker.provider.lifetime_s = -600.0
    try:
        with pytest.raises(SettingsError, match="does not let the OAuth client vigie-client in"):
            admin_of(broker.oauth()).answers(timeout_s=10)
    finally:
        broker.provider.lifetime_s = 300.0


def test_an_identity_provider_that_is_away_is_waited_for(
    broker: SecureBroker, free_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"http://127.0.0.1:{free_port}/token"
    connection = replace(broker.oauth(sasl_oauthbearer_token_endpoint_url=url), wait_timeout_s=4.0)
    said = f"The provider of tokens at {url} does not answer"
    with pytest.raises(BrokerUnavailableError, match=said):
        admin_of(connection).wait_for_broker()
    assert caplog.text.count(said) == 1  # of many tries


def test_credentials_that_are_taken_away_end_what_reads(
    broker: SecureBroker, settings: Settings
) -> None:
    """Under way: the broker asks again who we are, and what it says then ends the reading."""
    broker.add_user("leaver", PASSWORD)
    broker.allow("User:leaver", rights_of(Role.RUN, settings))
    connection = broker.scram("leaver", PASSWORD)
    config = SourceConfig(
        connection=connection, topic=settings.topics.readings, group=settings.kafka.group
    )
    with config.open() as source:
        wait_until(lambda: source.poll(timeout_s=0.2, max_records=10).assigned, within=60)
        broker.remove_user("leaver")
        with pytest.raises(SettingsError, match="does not let User:leaver in"):
            wait_until(lambda: source.poll(timeout_s=0.2, max_records=10).records, within=60)


# -- rights -------------------------------------------------------------------------------------


def test_each_right_of_a_run_is_needed_and_its_lack_is_named(
    broker: SecureBroker, settings: Settings
) -> None:
    connection = replace(broker.scram(USER, PASSWORD), call_timeout_s=20)
    topic = settings.topics
    # It is used when partitions are to be added, and only then.
    growing = Right(Resource.TOPIC, topic.sensor_state, Operation.ALTER)
    rights = rights_of(Role.RUN, settings)
    assert growing in rights
    for right in set(rights) - {growing}:
        broker.forbid(PRINCIPAL)
        broker.allow(PRINCIPAL, [one for one in rights if one != right])
        said, kind = "", right.resource.value.replace("I", " i")
        try:
            run_once(settings, connection)
        except SettingsError as error:
            said = str(error)
        assert said, f"nobody missed {right}"
        assert f"{PRINCIPAL} lacks the right" in said
        assert right.operation in said
        assert f"on the {kind} {right.name}" in said


def test_each_right_to_set_topics_up_is_needed(broker: SecureBroker, settings: Settings) -> None:
    more = settings.topics.model_copy(
        update={key: f"{name}-more" for key, name in settings.topics if isinstance(name, str)}
    )
    settings = settings.model_copy(update={"topics": more})
    specs = [replace(spec, partitions=1) for spec in topic_specs(more)]
    admin = admin_of(replace(broker.scram(USER, PASSWORD), call_timeout_s=20))
    rights = rights_of(Role.SETUP, settings)
    for right in rights:
        if right.operation is Operation.ALTER:
            continue
        broker.forbid(PRINCIPAL)
        broker.allow(PRINCIPAL, [one for one in rights if one != right])
        said = ""
        try:
            admin.create_topics([spec for spec in specs if spec.name == right.name])
        except SettingsError as error:
            said = str(error)
        assert re.search(f"{right.operation}.* on the topic .*{right.name}", said), (right, said)
    broker.forbid(PRINCIPAL)
    broker.allow(PRINCIPAL, rights)
    assert all(found.is_good for found in admin.create_topics(specs))
    # And with more partitions of the readings, the sensor state gets more.
    assert admin.grow_topics([replace(specs[4], partitions=2)])[0].partitions == 2
    broker.forbid(PRINCIPAL)
    looking = Right(Resource.TOPIC, more.sensor_state, Operation.DESCRIBE)
    rest = [one for one in rights if one.operation is not Operation.ALTER]
    broker.allow(PRINCIPAL, [*rest, looking])
    with pytest.raises(SettingsError, match=f"Alter on the topic .*{more.sensor_state}"):
        admin.grow_topics([replace(specs[4], partitions=3)])
