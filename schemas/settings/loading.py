"""Settings from `vigie.toml`, then `VIGIE_*` variables, then flags; the later wins, key by key.

A variable is `VIGIE_<SECTION>__<KEY>`, for instance `VIGIE_TOPICS__PARTITIONS=8`, and one level
more for the tables `kafka.client`, `stream.channels` and `input.words`, such as
`VIGIE_KAFKA__CLIENT__SASL_MECHANISM=PLAIN` (client options in lower case, channels and words as
written), or the whole table as JSON. An empty variable counts as not given. Variables without `__`
are not settings: Kubernetes alone makes a dozen for a service called vigie.

`VIGIE_<SECTION>__<KEY>_FILE` names a file that holds the text instead, for mounted secrets
(`schemas.settings.secret_files`). What such a file holds is in no error.

Lists of tables (`[[rules]]`) come from the file alone, as a whole: their entries have no fixed
places that a variable or a flag could name.

Written here rather than taken from pydantic-settings, because an error must say where the wrong
value came from, and that library merges its sources before it validates.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, from_json, to_json

from schemas.settings.help import allowed
from schemas.settings.secret import is_secret_key
from schemas.settings.secret_files import SUFFIX, SecretFileError, fingerprints, read_secret
from schemas.settings.section import Section
from schemas.settings.sections import Settings
from schemas.wire.errors import excerpt

DEFAULT_FILE = Path("vigie.toml")
ENV_PREFIX = "VIGIE_"
MAX_FILE_BYTES = 1_000_000

Key = tuple[str, ...]
"""Section, field and, in a table, the entry."""


class InvalidSettingsError(ValueError):
    """Wrong settings: `vigie` stays down until they are corrected.

    Attributes:
        problems: one line each, with where it was given, the key, and what is allowed.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))

    def __reduce__(self) -> tuple[type[InvalidSettingsError], tuple[str, ...]]:
        return type(self), self.problems


@dataclass(frozen=True, kw_only=True, slots=True)
class _Given:
    """One value as somebody gave it; one that is `hidden` is never shown."""

    key: Key
    value: Any
    origin: str
    hidden: bool = False


@dataclass(frozen=True, kw_only=True)
class SettingsSource:
    """Where settings come from: all of it as it was at one time, but for the files of secrets.

    Those are read at each `load`: a program that goes on with other secrets goes on with nothing
    else that somebody changed meanwhile.
    """

    path: Path | None
    document: Mapping[str, Any]
    environ: Mapping[str, str] = field(repr=False)  # may hold passwords
    overrides: Mapping[str, Any]

    @classmethod
    def read(
        cls,
        path: Path | None = None,
        overrides: Mapping[str, Any] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
    ) -> SettingsSource:
        """Read the file and the environment; arguments as `load_settings`.

        Raises:
            InvalidSettingsError: the file cannot be read or is no TOML.
        """
        if path is None and DEFAULT_FILE.is_file():
            path = DEFAULT_FILE
        return cls(
            path=path,
            document={} if path is None else _read(path),
            environ=dict(os.environ if environ is None else environ),
            overrides=dict(overrides or {}),
        )

    def load(self) -> Settings:
        """Merge and check the settings; raises as `load_settings`."""
        problems: list[str] = []
        given: dict[Key, _Given] = {}
        sources = (
            _from_document(self.document, str(self.path), problems),
            _from_environment(self.environ, problems),
            _from_flags(self.overrides, problems),
        )
        for source in sources:
            given.update({item.key: item for item in source})
        document: dict[str, Any] = {}
        for key, item in given.items():
            table = document
            for part in key[:-1]:
                table = table.setdefault(part, {})
            table[key[-1]] = item.value
        try:
            settings = Settings.model_validate_json(to_json(document), strict=True)
        except ValidationError as error:
            problems += _explain(error.errors(include_url=False), given)
        if problems:
            # From None: pydantic's own text shows the input, which may be a secret.
            raise InvalidSettingsError(*problems) from None
        return settings

    @property
    def secret_files(self) -> Mapping[str, Path]:
        """File of each variable that names one."""
        named = self.environ.items()
        return {variable: Path(text) for variable, text in named if text and _is_file(variable)}

    def fingerprint(self) -> Mapping[Path, str]:
        """What differs when a secret has changed; without the files that cannot be read now."""
        return fingerprints(self.secret_files.values())


def load_settings(
    path: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Read, merge and check the settings.

    Args:
        path: the file; None takes `vigie.toml` of the working folder if there is one.
        overrides: flags by dotted key, such as `{"topics.partitions": 8}`; text is converted to
            the field's type, None counts as not given.
        environ: environment variables; None takes the process's.

    Raises:
        InvalidSettingsError: everything that is wrong, at once. No value of a secret is in it.
    """
    return SettingsSource.read(path, overrides, environ=environ).load()


def _from_document(document: Mapping[str, Any], path: str, problems: list[str]) -> list[_Given]:
    """Values of the file; tables are taken apart, so that sources merge entry by entry."""
    found: list[_Given] = []
    for section, table in document.items():
        if section in list_sections():
            found.append(_Given(key=(section,), value=table, origin=path))
        elif section not in _sections():
            problems.append(_unknown((section,), path))
        elif not isinstance(table, dict):
            problems.append(f"{path}: {section}: must be a table, [{section}]")
        else:
            for name, value in table.items():
                found += _leaves((section, name), value, path, problems)
    return found


def _read(path: Path) -> dict[str, Any]:
    """The parsed file.

    Raises:
        InvalidSettingsError: it cannot be read or is no TOML.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InvalidSettingsError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_FILE_BYTES:
        raise InvalidSettingsError(
            f"{path}: larger than {MAX_FILE_BYTES} bytes; is it a settings file?"
        )
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise InvalidSettingsError(f"{path}: not UTF-8: byte {error.start}") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettingsError(f"{path}: not TOML: {error}") from None


def _from_environment(environ: Mapping[str, str], problems: list[str]) -> list[_Given]:
    """Values of the `VIGIE_<SECTION>__<KEY>` variables, and of the files that they name."""
    found: list[_Given] = []
    for variable, text in environ.items():
        if not (key := _key_of(variable)) or not text:
            continue
        origin = f"environment variable {variable}"
        if not _is_file(variable):
            found += _from_text(key, text, origin, problems)
            continue
        value_variable = variable.removesuffix(SUFFIX)
        if other := _given_as_well(value_variable, environ):
            problems.append(
                f"{origin}: {other} is set as well: unset one of the two, or nobody knows "
                "which holds"
            )
            continue
        try:
            secret = read_secret(Path(text))
        except SecretFileError as error:
            problems.append(f"{origin}: the file {text} {error}")
            continue
        origin = f"the file {text} of {variable}"
        items = _from_text(_key_of(value_variable), secret, origin, problems)
        found += [replace(item, hidden=True) for item in items]
    return found


def _key_of(variable: str) -> Key:
    """The setting that a variable names; empty if it names none."""
    parts = variable[len(ENV_PREFIX) :].split("__", 2)
    if not variable.startswith(ENV_PREFIX) or len(parts) == 1:
        return ()
    key = (parts[0].lower(), parts[1].lower(), *parts[2:])
    return tuple(part.lower() for part in key) if key[:2] == ("kafka", "client") else key


def _given_as_well(variable: str, environ: Mapping[str, str]) -> str:
    """What gives the value of this variable: itself, or its table as JSON; empty if neither."""
    if environ.get(variable):
        return variable
    table, key = variable.rpartition("__")[0], _key_of(variable)
    with contextlib.suppress(ValueError):  # an error of its own
        given = from_json(environ.get(table, ""))
        if _is_table(key[:-1]) and isinstance(given, dict) and key[-1] in given:
            return f"{table} ({key[-1]})"
    return ""


def _is_file(variable: str) -> bool:
    """Whether the variable names a file with the text: not where any name may be an entry's."""
    key = _key_of(variable)
    is_free = len(key) > 2 and key[:2] != ("kafka", "client")  # noqa: PLR2004
    return variable.endswith(SUFFIX) and bool(key) and not is_free and not _has_field(key)


def _has_field(key: Key) -> bool:
    section = _sections().get(key[0])
    return len(key) == 2 and section is not None and key[1] in section.model_fields  # noqa: PLR2004


def _from_flags(overrides: Mapping[str, Any], problems: list[str]) -> list[_Given]:
    """Values of the command line."""
    found: list[_Given] = []
    for dotted, value in overrides.items():
        if value is not None:
            convert = _from_text if isinstance(value, str) else _leaves
            found += convert(tuple(dotted.split(".", 2)), value, "command line", problems)
    return found


def _from_text(key: Key, text: str, origin: str, problems: list[str]) -> list[_Given]:
    """Convert text to what the field takes; if nothing fits, leave it for the error message."""
    if not _known(key):
        problems.append(_unknown(key, origin))
        return []
    candidates = [text]
    with contextlib.suppress(ValueError):
        candidates.append(from_json(text, allow_inf_nan=False))
    if _is_table(key[:2]):
        return _leaves(key, _entry_or_table(key, candidates), origin, problems)
    field = _sections()[key[0]].model_fields[key[1]]
    adapter: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
    for candidate in candidates:
        try:
            adapter.validate_json(to_json(candidate), strict=True)
        except ValidationError:
            continue
        return _leaves(key, candidate, origin, problems)
    return _leaves(key, candidates[-1], origin, problems)


def _entry_or_table(key: Key, candidates: list[Any]) -> Any:
    """The meaning of text for a whole table (JSON), or for one entry of it."""
    parsed = candidates[-1]
    if len(key) == 2:  # noqa: PLR2004 - section and field: the whole table
        return parsed
    # A client's option may be of any type: what reads as a number or true is one. A password of
    # digits stays text, and a wire name always is. A word stands for a number.
    if key[:2] == ("kafka", "client") and not is_secret_key(key[-1]):
        return parsed
    if key[:2] == ("input", "words"):
        return parsed
    return candidates[0]


def _leaves(key: Key, value: Any, origin: str, problems: list[str]) -> list[_Given]:
    """The value, or each entry of it if the field is a table."""
    if not _known(key):
        problems.append(_unknown(key, origin))
        return []
    if _is_table(key):
        if not isinstance(value, Mapping):
            problems.append(f"{origin}: {'.'.join(key)}: must be a table (as text: a JSON object)")
            return []
        return [
            _Given(key=(*key, str(name)), value=inner, origin=origin)
            for name, inner in value.items()
        ]
    return [_Given(key=key, value=value, origin=origin)]


@cache
def _sections() -> dict[str, type[Section]]:
    """Class of each section."""
    found = {name: field.annotation for name, field in Settings.model_fields.items()}
    return {name: cls for name, cls in found.items() if isinstance(cls, type)}


@cache
def list_sections() -> dict[str, type[Section]]:
    """Class of an entry of each list of tables."""
    lists = Settings.model_fields.keys() - _sections().keys()
    return {
        name: get_args(field.annotation)[0]
        for name, field in Settings.model_fields.items()
        if name in lists
    }


def _is_table(key: Key) -> bool:
    """Whether the field is a table of entries that the user names."""
    return key in {("kafka", "client"), ("stream", "channels"), ("input", "words")}


def _known(key: Key) -> bool:
    """Whether there is such a setting."""
    section = _sections().get(key[0])
    if section is None or len(key) == 1 or key[1] not in section.model_fields:
        return False
    return len(key) == 2 or _is_table(key[:2])  # noqa: PLR2004


def _unknown(key: Key, origin: str) -> str:
    """What to say about a key that does not exist; its value is never shown."""
    where = f"{origin}: {'.'.join(key)}"
    section = _sections().get(key[0])
    if key[0] in list_sections():
        return f"{where}: is a list of tables: give its entries in the file, under [[{key[0]}]]"
    if section is None:
        names = [*_sections(), *list_sections()]
        hint = _hint(key[0], names, key[-1], form="[{}]") or "."
        return f"{where}: no such section{hint} Sections: {', '.join(names)}"
    if len(key) == 1:
        return f"{where}: is a section; name one of its keys"
    names = list(section.model_fields)
    if len(key) > 2 and key[1] in names:  # noqa: PLR2004
        return f"{where}: {key[0]}.{key[1]} is a single value, it has no entries"
    hint = _hint(key[1], names, key[1], form="{}")
    if not hint and key[0] == "kafka":
        hint = "; options of the client itself go under [kafka.client]."
    return f"{where}: no such setting{hint or '.'} [{key[0]}] has: {', '.join(names)}"


def _hint(wrong: str, names: list[str], setting: str, *, form: str) -> str:
    """The most similar of the names, else a section that has such a setting, else nothing.

    The other way round where a setting's very name stands in the place of a section's.
    """
    close = [form.format(name) for name in difflib.get_close_matches(wrong, names, n=1)]
    homes = [
        f"{name}.{setting}" for name, cls in _sections().items() if setting in cls.model_fields
    ]
    meant = homes + close if wrong == setting else close + homes
    return f"; did you mean {meant[0]}?" if meant else ""


def _explain(errors: list[ErrorDetails], given: Mapping[Key, _Given]) -> Iterator[str]:
    """One line for each wrong setting, however many ways pydantic found it wrong."""
    found: dict[Key, ErrorDetails] = {}
    for error in errors:
        location = tuple(str(part) for part in error["loc"])
        key = max(
            (key for key in given if key == location[: len(key)]), key=len, default=location[:1]
        )
        if location[:1] and location[0] in list_sections():
            key = location[:3]
        # Of a field that may be of several types, the one that nearly fits has a reason.
        if key not in found or "error" not in found[key].get("ctx", {}):
            found[key] = error
    for key, error in found.items():
        reason = error.get("ctx", {}).get("error")
        if key and key[0] in list_sections():
            yield _explain_entry(error, given[key[:1]])
            continue
        if key not in given:
            origins = sorted({item.origin for item in given.values() if item.key[:1] == key})
            yield f"{', '.join(origins)}: {'.'.join(key)}: {reason or error['msg']}"
            continue
        item = given[key]
        hidden = (
            item.hidden
            or is_secret_key(key[-1])
            or key[:2] == ("kafka", "client")
            or "@" in str(item.value)
        )
        text = f"{item.origin}: {'.'.join(key)}: must be {allowed(key)}"
        if not hidden:
            text += f", got {excerpt(item.value)}"
        # The reason may quote the value.
        yield f"{text} ({reason})" if reason and not item.hidden else text


def _explain_entry(error: ErrorDetails, given: _Given) -> str:
    """The line for a wrong entry of a list of tables: which entry, which key, what is allowed."""
    (section, *place), reason = error["loc"][:3], error.get("ctx", {}).get("error")
    key = (str(section), *map(str, place))
    where = f"{given.origin}: [[{section}]]"
    if not place:
        return f"{where}: {reason or f'must be {allowed(key)}'}"
    entry = given.value[int(place[0])]
    where += f" number {int(place[0]) + 1}"
    if isinstance(entry, dict) and isinstance(entry.get("name"), str):
        where += f", {excerpt(entry['name'])}"
    if len(place) == 1:
        return f"{where}: {reason or f'must be {allowed(key)}, got {excerpt(entry)}'}"
    where += f": {place[1]}"
    if error["type"] == "missing":
        return f"{where}: is missing: must be {allowed(key)}"
    if error["type"] == "extra_forbidden":
        names = list(list_sections()[key[0]].model_fields)
        hint = _hint(key[2], names, key[2], form="{}")
        return f"{where}: no such key{hint or '.'} [[{section}]] has: {', '.join(names)}"
    text = f"{where}: must be {allowed(key)}, got {excerpt(entry[place[1]])}"
    return f"{text} ({reason})" if reason else text
