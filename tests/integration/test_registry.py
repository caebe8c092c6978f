"""Records of a real registry: registered, written with its ids, and read."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("fastavro", reason="pip install 'vigie[registry]'")
pytest.importorskip("grpc_tools", reason="pip install 'vigie[registry]'")

from schemas.codec.confluent import SchemaFile
from schemas.settings import RegistrySettings
from tests.support.apicurio import Apicurio, apicurio_running
from tests.support.framed import avro_bytes, framed, parse
from tests.support.protos import message_class
from workers.errors import ProvisioningError, RegistryUnavailableError
from workers.registry.parser import registry_parser
from workers.registry.protoc import compile_protos

MS_NS = 1_000_000

GEO = {
    "type": "record", "name": "Geo", "namespace": "plant",
    "fields": [{"name": "lat", "type": "double"}],
}  # fmt: skip
OLD: dict[str, Any] = {
    "type": "record", "name": "Reading", "namespace": "plant",
    "fields": [
        {"name": "sensor_id", "type": "string"},
        {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "flow", "type": "double"},
    ],
}  # fmt: skip
NEW = OLD | {
    "fields": [
        *OLD["fields"],
        {"name": "geo", "type": ["null", "plant.Geo"], "default": None},
    ]
}
JSON_SCHEMA = {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}
UNIT = 'syntax = "proto3";\npackage plant;\nmessage Unit { string name = 1; }\n'
READING = """
syntax = "proto3";
package plant;
import "unit.proto";
import "google/protobuf/timestamp.proto";
message Reading {
  string sensor_id = 1;
  google.protobuf.Timestamp at = 2;
  map<string, double> values = 3;
  Unit unit = 4;
  optional double limit = 5;
}
message Event { int32 code = 1; }
"""


@pytest.fixture(scope="module")
def apicurio(tmp_path_factory: pytest.TempPathFactory):
    log = tmp_path_factory.mktemp("apicurio") / "log"
    try:
        with apicurio_running(log) as running:
            yield running
    except ProvisioningError as error:
        pytest.skip(f"NO REAL REGISTRY TESTED: {error}")


def parser_of(url: str) -> Any:
    return registry_parser(RegistrySettings(url=url), unit_ns=MS_NS)


def test_avro_of_two_versions_with_a_reference(apicurio: Apicurio):
    apicurio.register("geo", GEO)
    old = apicurio.register("readings-value", OLD)
    reference = {"name": "plant.Geo", "subject": "geo", "version": 1}
    new = apicurio.register("readings-value", NEW, references=[reference])
    assert old != new
    one = {"sensor_id": "a", "ts": 1_767_225_600_000, "flow": 1.5}
    two = one | {"geo": {"lat": 48.1}}
    values = [framed(old, avro_bytes(OLD, one)), framed(new, avro_bytes(NEW, two, geo=GEO))]
    good, failed = parse(parser_of(apicurio.url), values)
    assert not failed
    assert good == {0: one, 1: two}


def test_protobuf_with_an_import_by_the_text_that_the_registry_gives(apicurio: Apicurio):
    apicurio.register("unit.proto", UNIT, "PROTOBUF")
    reference = {"name": "unit.proto", "subject": "unit.proto", "version": 1}
    schema_id = apicurio.register("proto-value", READING, "PROTOBUF", [reference])
    written = compile_protos(READING, [SchemaFile(name="unit.proto", text=UNIT)])
    reading = message_class(written, "plant.Reading")(
        sensor_id="a", values={"flow": 1.5}, unit={"name": "bar"}
    )
    reading.at.FromMilliseconds(1_767_225_600_250)
    event = message_class(written, "plant.Event")(code=4)
    values = [
        framed(schema_id, b"\0" + reading.SerializeToString()),
        framed(schema_id, b"\x02\x02" + event.SerializeToString()),
    ]
    good, failed = parse(parser_of(apicurio.url), values)
    assert not failed
    assert good == {
        0: {
            "sensor_id": "a",
            "at": 1_767_225_600_250,
            "values": {"flow": 1.5},
            "unit": {"name": "bar"},
            "limit": None,
        },
        1: {"code": 4},
    }


def test_json_schema(apicurio: Apicurio):
    schema_id = apicurio.register("json-value", JSON_SCHEMA, "JSON")
    good, _ = parse(parser_of(apicurio.url), [framed(schema_id, b'{"sensor_id": "a"}')])
    assert good == {0: {"sensor_id": "a"}}


def test_an_id_that_the_registry_does_not_know_is_a_failure(apicurio: Apicurio):
    good, failed = parse(parser_of(apicurio.url), [framed(987_654, b"\0")])
    assert not good
    assert f"{apicurio.url} knows no schema with the id 987654" in failed[0].message


def test_an_address_beside_the_api_is_an_outage_not_a_failure(apicurio: Apicurio):
    beside = apicurio.url.replace("ccompat", "compat")
    with pytest.raises(RegistryUnavailableError, match=r"correct registry\.url"):
        parse(parser_of(beside), [framed(1, b"\0")])
