"""What is kept of a registry: readers, reasons, and for how long."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.codec.confluent import SchemaFile
from schemas.wire.errors import SchemaError
from tests.support.clock import FakeClock
from workers.errors import RegistryUnavailableError
from workers.registry.schemas import MAX_REFERENCES, UNKNOWN_FOR_S, RegisteredSchema, Schemas


class Said:
    """A registry's answers by path, and what was asked and built."""

    def __init__(self, **more: Any) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.built: list[RegisteredSchema] = []
        self.clock = FakeClock()
        options = {"url": "http://r", "max_schemas": 10, "monotonic_s": self.clock, **more}
        self.schemas = Schemas(self.get, build=self.build, **options)

    def get(self, path: str) -> Any:
        self.asked.append(path)
        found = self.answers.get(path)
        if isinstance(found, Exception):
            raise found
        return found

    def build(self, schema: RegisteredSchema) -> Any:
        self.built.append(schema)
        if schema.file.text == "bad":
            raise SchemaError("cannot be used")
        return lambda payload: (schema.file.text, payload)

    def knows(self, schema_id: int, text: str, **more: Any) -> None:
        self.answers[f"/schemas/ids/{schema_id}"] = {"schema": text, **more}

    def refers(self, *names: str) -> list[dict[str, Any]]:
        return [{"name": name, "subject": name, "version": 1} for name in names]

    def knows_version(self, subject: str, text: str, **more: Any) -> None:
        path = f"/subjects/{subject}/versions/1?deleted=true"
        self.answers[path] = {"schema": text, **more}


def test_an_id_is_asked_for_once():
    said = Said()
    said.knows(7, "a")
    assert {said.schemas.reader_of(7)(b"x") for _ in range(3)} == {("a", b"x")}
    assert said.asked == ["/schemas/ids/7"]
    assert [schema.kind for schema in said.built] == ["AVRO"]


def test_the_one_that_was_not_used_for_longest_is_forgotten():
    said = Said(max_schemas=2)
    for schema_id in (1, 2, 3):
        said.knows(schema_id, "a")
    for schema_id in (1, 2, 1, 3, 1, 2):
        said.schemas.reader_of(schema_id)
    assert said.asked == [f"/schemas/ids/{schema_id}" for schema_id in (1, 2, 3, 2)]


def test_an_unknown_id_names_itself_and_the_registry_and_is_asked_for_again_later():
    said = Said()
    for _ in range(3):
        with pytest.raises(SchemaError, match="http://r knows no schema with the id 7"):
            said.schemas.reader_of(7)
    assert len(said.asked) == 1
    said.knows(7, "a")
    said.clock.advance(UNKNOWN_FOR_S)
    assert said.schemas.reader_of(7)(b"") == ("a", b"")


def test_an_unusable_schema_is_built_once_and_says_why_each_time():
    said = Said()
    said.knows(7, "bad")
    said.clock.advance(UNKNOWN_FOR_S)
    for _ in range(3):
        with pytest.raises(SchemaError, match="schema 7 of http://r: cannot be used"):
            said.schemas.reader_of(7)
        said.clock.advance(10 * UNKNOWN_FOR_S)
    assert (len(said.asked), len(said.built)) == (1, 1)


def test_a_reference_that_is_gone_is_asked_for_again_later():
    said = Said()
    said.knows(7, "a", references=said.refers("geo"))
    for _ in range(3):
        with pytest.raises(SchemaError, match="version 1 of 'geo', which is gone"):
            said.schemas.reader_of(7)
    assert len(said.asked) == 2
    said.knows_version("geo", "g")
    said.clock.advance(UNKNOWN_FOR_S)
    assert said.schemas.reader_of(7)(b"x") == ("a", b"x")


def test_each_answer_and_each_schema_built_is_a_sign_of_life():
    ticks: list[int] = []
    said: Said = Said(tick=lambda: ticks.append(len(said.asked) + len(said.built)))
    said.knows(7, "a", references=said.refers("geo"))
    said.knows_version("geo", "g")
    said.schemas.reader_of(7)
    said.schemas.reader_of(7)
    assert ticks == [1, 2, 3]


def test_an_outage_is_not_remembered():
    said = Said()
    said.answers["/schemas/ids/7"] = RegistryUnavailableError("away")
    with pytest.raises(RegistryUnavailableError):
        said.schemas.reader_of(7)
    said.knows(7, "a")
    assert said.schemas.reader_of(7)(b"") == ("a", b"")


def test_an_outage_between_a_schema_and_its_references_is_not_remembered():
    said = Said()
    said.knows(7, "a", references=said.refers("geo"))
    said.answers["/subjects/geo/versions/1?deleted=true"] = RegistryUnavailableError("away")
    with pytest.raises(RegistryUnavailableError):
        said.schemas.reader_of(7)
    said.knows_version("geo", "g")
    said.schemas.reader_of(7)
    assert [schema.references for schema in said.built] == [(SchemaFile(name="geo", text="g"),)]


def test_references_come_behind_those_that_they_refer_to_and_once():
    said = Said()
    said.knows(7, "a", references=said.refers("site", "geo"), schemaType="PROTOBUF")
    said.knows_version("site", "s", references=said.refers("geo"))
    said.knows_version("geo", "g")
    said.schemas.reader_of(7)
    (schema,) = said.built
    assert schema.kind == "PROTOBUF"
    assert [file.name for file in schema.references] == ["geo", "site"]
    assert len(said.asked) == 3


def test_a_subject_is_no_path():
    said = Said()
    reference = {"name": "geo", "subject": "a/../b c?x", "version": 1}
    said.knows(7, "a", references=[reference])
    with pytest.raises(SchemaError, match="gone"):
        said.schemas.reader_of(7)
    assert said.asked[1] == "/subjects/a%2F..%2Fb%20c%3Fx/versions/1?deleted=true"


@pytest.mark.parametrize("names", [["a"], ["b"]])
def test_references_in_a_circle_are_an_unusable_schema(names: list[str]):
    said = Said()
    said.knows(7, "x", references=said.refers("a"))
    said.knows_version("a", "a", references=said.refers(*names))
    said.knows_version("b", "b", references=said.refers("a"))
    with pytest.raises(SchemaError, match="refers to itself"):
        said.schemas.reader_of(7)
    assert len(said.asked) <= 3


def test_references_have_a_limit():
    said = Said()
    names = [f"n{number}" for number in range(MAX_REFERENCES + 1)]
    said.knows(7, "x", references=said.refers(*names))
    for name in names:
        said.knows_version(name, name)
    with pytest.raises(SchemaError, match=f"more than {MAX_REFERENCES}"):
        said.schemas.reader_of(7)


@pytest.mark.parametrize(
    "answer",
    [{}, {"schema": 5}, {"schema": "a", "references": [{"name": "x"}]},
     {"schema": "a", "references": ["x"]},
     {"schema": "a", "references": [{"name": "x", "subject": "x", "version": "latest"}]}],
)  # fmt: skip
def test_an_answer_of_another_shape_is_an_unusable_schema(answer):
    said = Said()
    said.answers["/schemas/ids/7"] = answer
    with pytest.raises(SchemaError, match="schema 7 of"):
        said.schemas.reader_of(7)
