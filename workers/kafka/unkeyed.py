"""The way out for a topic whose records are not keyed by their sensor, in words to paste."""

from __future__ import annotations

from typing import Final

_BY_SENSOR: Final = ".by-sensor"
_LONGEST_TOPIC: Final = 249


def keyed_name(readings: str) -> str:
    """A name for the topic that `vigie repartition` would write of this one."""
    return readings[: _LONGEST_TOPIC - len(_BY_SENSOR)] + _BY_SENSOR


def repartition_settings(source: str) -> str:
    """What vigie.toml has to say so that `vigie repartition` reads this topic, line by line."""
    return f'[topics]\nreadings = "{keyed_name(source)}"\n\n[repartition]\nsource = "{source}"'


def way_out(readings: str) -> str:
    """What to do about readings that do not lie by sensor in the topic of this name."""
    return (
        "have the producer key its records by the sensor, or let vigie repartition do it. For that "
        "put into vigie.toml (vigie run then reads the new topic)\n\n"
        f"{repartition_settings(readings)}\n\n"
        "then: vigie topics create --repartition, and vigie repartition beside vigie run"
    )


def no_source(source: str) -> str:
    """What to say where the topic that `vigie repartition` is to read is not there."""
    return (
        f"The topic {source} does not exist (repartition.source): it is the one that your "
        "producers fill, so vigie makes none. Name theirs: repartition.source in vigie.toml, or "
        "--source."
    )


def no_targets(said: str, readings: str) -> str:
    """What to say where topics that `vigie repartition` writes to are not there."""
    return (
        f"{said} vigie topics create --repartition makes those that vigie repartition writes to; "
        f'it has no --to: put [topics] readings = "{readings}" into vigie.toml, or add '
        f"--set topics.readings={readings} to it."
    )
