"""What a registry said of schemas, and what reads the records of each; asked once an id."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from schemas.codec.confluent import Reader, SchemaFile
from schemas.wire.errors import SchemaError, excerpt

MAX_REFERENCES: Final = 200
"""Most schemas that one refers to, directly and by others."""
UNKNOWN_FOR_S: Final = 10.0
"""How long an id that the registry does not know is not asked for again."""

Get = Callable[[str], Mapping[str, Any] | None]
"""Asks the registry for a path; see `RegistryClient.get`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RegisteredSchema:
    """A schema as the registry has it.

    Attributes:
        kind: AVRO, PROTOBUF or JSON.
        file: its text.
        references: what it refers to, each behind those that it refers to itself.
    """

    kind: str
    file: SchemaFile
    references: tuple[SchemaFile, ...]


class _GoneError(SchemaError):
    """What a schema refers to is not there, as if the registry did not know the schema."""


class Schemas:
    """Gives the reader of a schema's id.

    An id never gets another schema, so what reads it is kept, and so is why nobody can read it. An
    id that the registry does not know, or whose references it does not know, is asked for again
    after a while: it may have come late.

    Args:
        get: asks the registry.
        url: of the registry, for messages.
        build: makes the reader of a schema; raises `SchemaError` if there can be none.
        max_schemas: how many are kept.
        tick: called after each answer and each schema that was built. A batch may ask for as many
            as it has records, and whoever waits for it should hear that it goes on.
    """

    def __init__(
        self,
        get: Get,
        *,
        url: str,
        build: Callable[[RegisteredSchema], Reader],
        max_schemas: int,
        tick: Callable[[], None] = lambda: None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._get, self._url, self._build, self._tick = get, url, build, tick
        self._max_schemas, self._monotonic_s = max_schemas, monotonic_s
        self._kept: OrderedDict[int, tuple[Reader | str, float]] = OrderedDict()

    def reader_of(self, schema_id: int) -> Reader:
        """What reads records of this schema.

        Raises:
            SchemaError: the registry does not know the id, or its schema cannot be used.
            RegistryUnavailableError: the registry does not answer; ask again later.
            SettingsError: the registry rejects us.
        """
        found, until_s = self._kept.get(schema_id, (None, 0.0))
        if found is None or self._monotonic_s() >= until_s:
            found, until_s = self._found(schema_id)
            self._kept[schema_id] = found, until_s
            self._tick()
        self._kept.move_to_end(schema_id)
        while len(self._kept) > self._max_schemas:
            self._kept.popitem(last=False)
        if isinstance(found, str):
            raise SchemaError(found)
        return found

    def _found(self, schema_id: int) -> tuple[Reader | str, float]:
        """The reader of a schema or why there is none, and until when that holds."""
        answer = self._ask(f"/schemas/ids/{schema_id}")
        if answer is None:
            unknown = f"the schema registry at {self._url} knows no schema with the id {schema_id}"
            return unknown, self._monotonic_s() + UNKNOWN_FOR_S
        try:
            references: dict[str, SchemaFile] = {}
            self._add_references(answer, references, ())
            schema = RegisteredSchema(
                kind=str(answer.get("schemaType") or "AVRO"),
                file=SchemaFile(name=f"with the id {schema_id}", text=_text_of(answer)),
                references=tuple(references.values()),
            )
            return self._build(schema), float("inf")
        except SchemaError as error:
            is_gone = isinstance(error, _GoneError)
            until_s = self._monotonic_s() + UNKNOWN_FOR_S if is_gone else float("inf")
            return f"schema {schema_id} of {self._url}: {error}", until_s

    def _ask(self, path: str) -> Mapping[str, Any] | None:
        answer = self._get(path)
        self._tick()
        return answer

    def _add_references(
        self, answer: Mapping[str, Any], into: dict[str, SchemaFile], within: Sequence[str]
    ) -> None:
        references = answer.get("references") or []
        if not isinstance(references, list):
            raise SchemaError(f"refers to {excerpt(references)}, which is nothing")
        for reference in references:
            try:
                name, subject = str(reference["name"]), quote(str(reference["subject"]), safe="")
                version = int(reference["version"])
            except (TypeError, LookupError, ValueError, OverflowError) as error:
                raise SchemaError(f"refers to {excerpt(reference)}, which is nothing") from error
            if name in into:
                continue
            if name in within or len(into) + len(within) >= MAX_REFERENCES:
                raise SchemaError(
                    f"refers to itself by {excerpt(name)}, or to more than {MAX_REFERENCES} others"
                )
            # A deleted version is given, too: records that need it are still in the log.
            found = self._ask(f"/subjects/{subject}/versions/{version}?deleted=true")
            if found is None:
                raise _GoneError(
                    f"refers to version {version} of {excerpt(subject)}, which is gone"
                )
            self._add_references(found, into, (*within, name))
            into[name] = SchemaFile(name=name, text=_text_of(found))


def _text_of(answer: Mapping[str, Any]) -> str:
    text = answer.get("schema")
    if not isinstance(text, str):
        raise SchemaError(f"the registry's answer has no schema, but {excerpt(', '.join(answer))}")
    return text
