"""What a reading costs, as measured: the constants of the model, with where they come from.

`measured.json` beside this file is written by ``python -m benchmarks.sizing``; another machine's or
another model's figures come by ``vigie size --measured FILE``, in the same form.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workers.errors import SettingsError

_OURS: Final = Path(__file__).with_name("measured.json")
_MAX_BYTES: Final = 1_000_000
Figure = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]


class Encoding(StrEnum):
    """How readings come."""

    READING = "reading"
    """One reading a record, as JSON."""
    FRAME = "frame"
    """Many readings of one sensor a record, in columns, as JSON."""


class DetectorKind(StrEnum):
    """What scores them."""

    FULL = "full"
    """What `vigie train` makes by default: the autoencoder and the pyramid over 256 readings."""
    PLAIN = "plain"
    """The autoencoder alone, over 32 readings."""

    @property
    def receptive_field(self) -> int:
        """Readings that a score depends on."""
        return 256 if self is DetectorKind.FULL else 32


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Line(_Part):
    """A cost that grows with the channels of a reading."""

    base: Figure
    per_channel: Figure

    def at(self, channels: int) -> float:
        """The cost of a reading of so many channels."""
        return self.base + self.per_channel * channels


class Processor(_Part):
    """Microseconds of one core, by what causes them.

    Attributes:
        read: of a reading: taken from the client, decoded. A record a reading is in it.
        frame_record: of a frame besides its readings.
        fetch_record: of any record, in the client's threads.
        score: of a reading, on a CPU.
        score_call: of a call to the scorer, whatever is in it.
        network: what of that is the autoencoder alone: a GPU takes it over.
        ship: of a reading that an actor scores: to send it there and take the scores back.
        publish: of a reading: kept, judged, encoded.
        publish_sensor: of a sensor that something is published of, each time that it is.
        commit: of a transaction, whatever is in it.
        restore: of a reading that is read again after a restart.
        broker_record: of a record written or read, in a broker.
    """

    read: dict[Encoding, Line]
    frame_record: Figure
    fetch_record: Figure
    score: dict[DetectorKind, Line]
    score_call: Figure
    network: Line
    ship: Figure
    publish: Line
    publish_sensor: Figure
    commit: Figure
    restore: dict[Encoding, Line]
    broker_record: Figure


class Sizes(_Part):
    """Bytes in the broker's log, not compressed.

    Attributes:
        record: of a reading, by how it comes; frames of 100.
        cleaned: of a reading in the cleaned signal.
        cleaned_record: of a record of it besides its readings.
        state: of what is recorded of a sensor, each time.
        incident: of an event of an incident.
    """

    record: dict[Encoding, Line]
    cleaned: Line
    cleaned_record: Figure
    state: Figure
    incident: Figure


class Memory(_Part):
    """Of the processes of a run.

    Attributes:
        worker_mb: an ingest worker without sensors.
        driver_mb: the driver and Ray.
        sensor_bytes: of a sensor besides its window.
    """

    worker_mb: Figure
    driver_mb: Figure
    sensor_bytes: Figure


class Gateway(_Part):
    """Of the alert gateway: milliseconds of one core, a process.

    Attributes:
        event_ms: of an event of an incident that is taken in.
        delivery_ms: of a signed webhook.
    """

    event_ms: Figure
    delivery_ms: Figure


class Measured(_Part):
    """All constants of the model.

    Attributes:
        at: when.
        machine: on which.
        protocol: how; a sentence.
        start_s: from a worker's death to its successor's first poll.
    """

    at: str
    machine: str
    protocol: str
    processor: Processor
    sizes: Sizes
    memory: Memory
    gateway: Gateway
    start_s: Figure


@cache
def our_figures() -> Measured:
    """The figures that come with Vigie."""
    return Measured.model_validate_json(_OURS.read_bytes())


def read_figures(path: Path) -> Measured:
    """The figures of a file that ``python -m benchmarks.sizing --json`` wrote.

    Raises:
        SettingsError: there is no such file, or it holds something else; says what is wrong.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return Measured.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise SettingsError(
            f"{path} holds no figures of `python -m benchmarks.sizing --json`: "
            f"{place}: {first['msg']}"
        ) from error
