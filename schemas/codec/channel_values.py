"""Values of the channels in foreign records: an object by name, or an array of named values.

Every fast path takes only what `ChannelValues.row` would take, and to the same numbers; whatever
else it raises, the caller tries again in smaller parts, down to `row`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import chain
from math import isnan
from typing import Any, Final

import numpy as np
from jaxtyping import Float64

from schemas.codec.channel_map import ChannelMap
from schemas.codec.record_layout import RecordLayout
from schemas.record_path import RecordPath
from schemas.wire.errors import ChannelMismatchError, InvalidRecordError, RecordError, excerpt
from schemas.wire.limits import MAX_CHANNELS, MAX_NAME_CHARS

_ABSENT: Final = object()


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelValues:
    """Reads the values of some channels.

    A wire name is looked up as it is written; where there is none and it holds a dot, as a path:
    `motor.temp` is also `temp` in the object `motor`.
    """

    layout: RecordLayout
    channels: ChannelMap
    paths: Mapping[str, RecordPath]
    picker: Callable[[Mapping[str, Any]], tuple[Any, ...]]

    @classmethod
    def of(cls, layout: RecordLayout, channels: ChannelMap) -> ChannelValues:
        """The values of these channels in this layout."""
        paths = {name: _as_path(name) for name in channels.wire if "." in name}
        return cls(
            layout=layout,
            channels=channels,
            paths={name: path for name, path in paths.items() if path is not None},
            picker=channels.picker(),
        )

    def rows(self, found: list[Any]) -> Float64[np.ndarray, "readings channels"]:
        """Values of readings.

        Args:
            found: what lies at `RecordLayout.values` in each.

        Raises:
            ValueError, LookupError, TypeError, OverflowError: one of them is not regular.
        """
        if self.layout.name_field is not None:
            picked = self._of_arrays(found)
        else:
            picked = self._of_objects(found)
            if self.layout.value_field is not None:
                picked = self.layout.value_field.column(picked)
        numbers = self.layout.numbers.array(picked)
        return numbers.reshape(len(found), len(self.channels))

    def row(self, found: Any) -> list[float]:
        """Values of one reading, step by step.

        Raises:
            RecordError: what is wrong with them.
        """
        layout, where = self.layout, self.layout.values.text
        if layout.name_field is not None:
            values = _by_name(layout, found, self.channels.wire)
        elif type(found) is dict:
            values = found
        else:
            raise InvalidRecordError(f"{where}: must be an object, got {excerpt(found)}")
        prefix = "" if where == "." else f"{where}."
        return [
            layout.numbers.one(_inner(layout, value, prefix + name), prefix + name)
            for name, value in zip(self.channels.names, self._search(values), strict=True)
        ]

    def _of_objects(self, found: list[Any]) -> list[Any]:
        """What stands for the values, reading by reading."""
        try:
            return list(chain.from_iterable(map(self.picker, found)))
        except KeyError:
            if not (self.paths or self.layout.allows_missing):
                raise
        return list(chain.from_iterable(map(self._search, found)))

    def _search(self, values: dict[str, Any]) -> list[Any]:
        """What stands for the values in one object, None for what may be missing.

        Raises:
            ChannelMismatchError: what is missing is needed, or nothing is there at all.
        """
        found = [values.get(name, _ABSENT) for name in self.channels.wire]
        if _ABSENT not in found:
            return found
        for place, name in enumerate(self.channels.wire):
            if found[place] is _ABSENT and name in self.paths:
                found[place] = _at(self.paths[name], values)
        absent = [
            name for name, value in zip(self.channels.wire, found, strict=True) if value is _ABSENT
        ]
        if absent and not (self.layout.allows_missing and len(absent) < len(found)):
            error = self.channels.lacking(absent, values)
            if len(absent) == len(found):
                raise ChannelMismatchError(f"{error} (stream.channels says what records call them)")
            raise ChannelMismatchError(
                f'{error} (input.missing_channels = "missing" reads what is there)'
            )
        return [None if value is _ABSENT else value for value in found]

    def _of_arrays(self, found: list[Any]) -> list[Any]:
        """What stands for the values in arrays of named values, reading by reading."""
        assert self.layout.name_field is not None
        assert self.layout.value_field is not None
        if set(map(type, found)) != {list}:
            raise TypeError("not arrays")
        flat = list(chain.from_iterable(found))
        names = self.layout.name_field.column(flat)
        values = self.layout.value_field.column(flat)
        size = len(found[0])
        first = names[:size]
        if size and len(flat) == size * len(found) and names == first * len(found):
            _check_differ(first)
            if not self.layout.allows_missing or set(self.channels.wire).issubset(first):
                columns = [values[first.index(name) :: size] for name in self.channels.wire]
                return list(chain.from_iterable(zip(*columns, strict=True)))
        objects = []
        start = 0
        for stop in np.cumsum(list(map(len, found))).tolist():
            _check_differ(names[start:stop])
            objects.append(dict(zip(names[start:stop], values[start:stop], strict=True)))
            start = stop
        return self._of_objects(objects)


def _by_name(layout: RecordLayout, found: Any, wanted: Collection[str]) -> dict[str, Any]:
    """The values of an array by name; each of the wanted names has one value at most."""
    assert layout.name_field is not None
    assert layout.value_field is not None
    where = layout.values.text
    if type(found) is not list:
        raise InvalidRecordError(f"{where}: must be an array of named values, got {excerpt(found)}")
    values: dict[str, Any] = {}
    for place, element in enumerate(found):
        name = _within(layout.name_field, element, f"{where}[{place}]", "name_field")
        if type(name) is not str:
            raise InvalidRecordError(
                f"{where}[{place}].{layout.name_field.text}: must be a text, got {excerpt(name)}"
            )
        if name in wanted and name in values:
            raise InvalidRecordError(f"{where}: {excerpt(name)} comes twice in it")
        try:
            values[name] = _within(layout.value_field, element, f"{where}[{place}]", "value_field")
        except InvalidRecordError as error:
            if name in wanted and not layout.allows_missing:
                raise InvalidRecordError(f"{error}{_null_hint(element)}") from error
    return values


def _null_hint(metric: Any) -> str:
    """What reads a metric of Sparkplug that says it has no value."""
    if type(metric) is dict and (metric.get("is_null") or metric.get("isNull")):
        return ' (a metric without a value: input.missing_channels = "missing" reads it as missing)'
    return ""


def _inner(layout: RecordLayout, value: Any, name: str) -> Any:
    """The value in an object that stands for it."""
    if layout.name_field is not None or layout.value_field is None or value is None:
        return value
    return _within(layout.value_field, value, name, "value_field")


def _within(path: RecordPath, item: Any, where: str, key: str) -> Any:
    """What lies at a path in a part of the record; the error names both."""
    try:
        return path.of(item)
    except InvalidRecordError as error:
        raise InvalidRecordError(f"{where}: {error} (input.{key})") from error


def names_in(layout: RecordLayout, found: Any, *, besides: Collection[str]) -> tuple[str, ...]:
    """The names in one reading that stand for a number, in their order; none of a wrong one.

    Args:
        layout: of the record.
        found: what lies at `RecordLayout.values`.
        besides: names that are no channels.
    """
    try:
        values = found if layout.name_field is None else _by_name(layout, found, ())
    except RecordError:
        return ()
    if type(values) is not dict:
        return ()
    names = [
        name
        for name, value in values.items()
        if name not in besides and 1 <= len(name) <= MAX_NAME_CHARS and _is_one(layout, value)
    ]
    return tuple(names) if len(names) <= MAX_CHANNELS else ()


def _is_one(layout: RecordLayout, value: Any) -> bool:
    """Whether a value is a channel's."""
    try:
        number = layout.numbers.one(_inner(layout, value, ""), "")
    except RecordError:
        return False
    # Among the fields of a record null may be anything's; among values it is a value.
    return not isnan(number) or bool(layout.values.steps)


def _check_differ(names: list[Any]) -> None:
    """Raise ValueError or TypeError unless these are texts that differ from each other."""
    if set(map(type, names)) - {str} or len(set(names)) < len(names):
        raise ValueError("not regular names")


def _as_path(name: str) -> RecordPath | None:
    """A wire name as a path, if it is one."""
    try:
        path = RecordPath.parse(name)
    except ValueError:
        return None
    return None if path.from_top else path


def _at(path: RecordPath, values: dict[str, Any]) -> Any:
    try:
        return path.of(values)
    except InvalidRecordError:
        return _ABSENT
