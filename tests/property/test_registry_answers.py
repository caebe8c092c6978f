"""Whatever a registry answers: a reader, or a schema that cannot be used."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytest.importorskip("fastavro", reason="pip install 'vigie[registry]'")

from schemas.wire.errors import SchemaError
from workers.registry.parser import build_reader
from workers.registry.schemas import RegisteredSchema, Schemas

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(), max_size=8)
)
VALUES = st.recursive(
    SCALARS,
    lambda values: st.one_of(
        st.lists(values, max_size=3), st.dictionaries(st.text(max_size=8), values, max_size=3)
    ),
    max_leaves=8,
)
REFERENCES = st.one_of(
    VALUES,
    st.lists(
        st.fixed_dictionaries({"name": SCALARS, "subject": SCALARS, "version": SCALARS}),
        max_size=3,
    ),
)
ANSWERS = st.fixed_dictionaries(
    {},
    optional={
        "schema": st.one_of(VALUES, VALUES.map(json.dumps)),
        "schemaType": st.one_of(st.sampled_from(["AVRO", "JSON"]), VALUES),
        "references": REFERENCES,
    },
)


def reference(**changes: object) -> dict[str, object]:
    return {"schema": "{}", "references": [{"name": "a", "subject": "a", "version": 1} | changes]}


@given(ANSWERS, st.one_of(st.none(), ANSWERS))
@example(reference(version=float("inf")), None)
@example(reference(version=float("nan")), None)
@example(reference(subject="\ud800"), None)
@example(reference(name="\ud800"), {"schema": '{"type": "\ud800"}'})
@settings(deadline=None, max_examples=300)
def test_any_answer_gives_a_reader_or_says_why_not(answer, referred):
    def build(schema: RegisteredSchema):
        return build_reader(schema, unit_ns=1)

    answers = iter([answer])
    schemas = Schemas(lambda _path: next(answers, referred), url="r", build=build, max_schemas=2)
    said = "schema 1 of r"
    try:
        assert callable(schemas.reader_of(1))
    except SchemaError as error:
        said = str(error)
    assert "schema 1 of r" in said
