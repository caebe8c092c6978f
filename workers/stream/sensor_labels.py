"""Labels of sensors from a file: site, line, asset, anything that people want to see in an anomaly.

They say where a sensor stands and nothing about what it measures: no id and no score depends on
them, so the file may change at any time. A CSV file has the column `sensor_id` first and a label in
each other column, an empty cell is none; a JSON file is `{"sensor": {"label": "value"}}`.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from pydantic import TypeAdapter, ValidationError

from schemas.wire.errors import excerpt
from schemas.wire.fields import Labels, Name
from workers.errors import SettingsError

MAX_FILE_BYTES = 16 * 2**20
_LOOK_EVERY_S = 1.0
_SENSORS: TypeAdapter[dict[str, dict[str, str]]] = TypeAdapter(dict[Name, Labels])

LabelsOf = Callable[[str], Mapping[str, str]]
"""The labels of a sensor; empty when it has none."""


def no_labels(sensor: str) -> Mapping[str, str]:  # noqa: ARG001 - `LabelsOf`
    """The labels of every sensor where no file gives them."""
    return {}


@dataclass(slots=True)
class SensorLabels:
    """The labels of all sensors, kept up to date with their file. Picklable.

    It travels to the workers with the labels that the file held at the start. Where a worker finds
    the file too, it reads it again when it has changed; a file that is gone or broken by then is a
    warning, and the labels stay as they were.

    Attributes:
        path: the file, absolute; None for no labels.
        labels: what it held when it was last read.
        monotonic_s: a clock that only goes forward.
    """

    path: Path | None = None
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    monotonic_s: Callable[[], float] = time.monotonic
    _look_at_s: float = field(default=float("-inf"), init=False)
    _seen: tuple[int, ...] | None = field(default=(), init=False)

    @classmethod
    def of_file(cls, path: Path | None) -> SensorLabels:
        """Read the file.

        Raises:
            SettingsError: see `read_labels`.
        """
        return cls() if path is None else cls(path=path.absolute(), labels=read_labels(path))

    def of(self, sensor: str) -> Mapping[str, str]:
        """The labels of a sensor; looks at most once a second whether the file has changed."""
        if self.path is not None and self.monotonic_s() >= self._look_at_s:
            self._look_at_s = self.monotonic_s() + _LOOK_EVERY_S
            self._look(self.path)
        return self.labels.get(sensor, {})

    def _look(self, path: Path) -> None:
        try:
            stat = path.stat()
        except OSError:
            now = None
        else:
            now = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if now == self._seen:
            return
        self._seen = now
        log = structlog.get_logger("vigie.labels")
        try:
            self.labels = read_labels(path)
        except SettingsError as error:
            log.warning("sensor_labels_kept", reason=str(error))
        else:
            log.info("sensor_labels_read", path=str(path), sensors=len(self.labels))


def read_labels(path: Path) -> dict[str, dict[str, str]]:
    """The labels of each sensor in a file.

    Raises:
        SettingsError: it is missing, too large, or broken; says in which line, and what to do.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise SettingsError(
            f"sensors.path: {path} cannot be read ({error.strerror}): correct the path, or leave "
            "the setting out"
        ) from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _problem(path, line, "is not UTF-8: save the file as UTF-8") from error
    if len(content) > MAX_FILE_BYTES:
        raise SettingsError(f"sensors.path: {path} is larger than {MAX_FILE_BYTES:,} bytes")
    readers = {".csv": _from_csv, ".json": _from_json}
    if path.suffix.lower() not in readers:
        raise SettingsError(f"sensors.path: {path} must end in .csv or .json")
    return readers[path.suffix.lower()](path, text)


def _from_csv(path: Path, text: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [cell.strip() for cell in next(rows, [])]
        names = header[1:]
        if header[:1] != ["sensor_id"] or "" in names or len(set(names)) < len(names):
            raise _problem(
                path,
                1,
                "must name sensor_id first, then each label once, with commas between them; got "
                f"{excerpt(','.join(header))}",
            )
        for row in _filled(rows):
            if len(row) != len(header):
                told = f"has {len(row)} cells, the first line has {len(header)}"
                raise _problem(path, rows.line_num, told)
            sensor, *cells = row
            if sensor in found:
                raise _problem(path, rows.line_num, f"names {excerpt(sensor)} a second time")
            labels = {name: cell for name, cell in zip(names, cells, strict=True) if cell}
            found |= _SENSORS.validate_python({sensor: labels})
    except csv.Error as error:
        raise _problem(path, rows.line_num, f"is no CSV: {error}") from error
    except ValidationError as error:
        raise _problem(path, rows.line_num, _told(error)) from error
    return found


def _filled(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    """The rows that hold anything, without blanks around their cells."""
    for row in rows:
        if any(cells := [cell.strip() for cell in row]):
            yield cells


def _from_json(path: Path, text: str) -> dict[str, dict[str, str]]:
    try:
        return _SENSORS.validate_python(json.loads(text))
    except json.JSONDecodeError as error:
        raise _problem(path, error.lineno, f"is no JSON: {error.msg}") from error
    except RecursionError as error:
        raise _problem(path, 1, "opens too many brackets") from error
    except ValidationError as error:
        (sensor, *_) = (*error.errors()[0]["loc"], "")
        # Where the sensor is named first; a label of the same text could come before.
        at = text.find(json.dumps(sensor, ensure_ascii=False))
        raise _problem(path, text.count("\n", 0, max(at, 0)) + 1, _told(error)) from error
    except ValueError as error:  # a number too long to read
        raise _problem(path, 1, f"is no JSON that can be read: {error}") from error


def _told(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ", ".join(str(part) for part in first["loc"] if part != "[key]")
    return f"is wrong at {excerpt(where, 200)}: {first['msg']}, got {excerpt(first['input'])}"


def _problem(path: Path, line: int, told: str) -> SettingsError:
    return SettingsError(f"sensors.path: {path}, line {line} {told}")
