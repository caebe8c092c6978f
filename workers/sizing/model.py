"""How many partitions, workers, brokers a fleet needs, and what limits it. Pure.

1. A reading costs processor time: by its encoding, its channels, the detector, and by how many
   readings of its sensor are published at once (`readings_at_once`).
2. The workers: so many that none is busier than wanted; the one with the most sensors counts, since
   keys spread by chance. Then so many that one that crashed has read its windows again, and
   caught up, in the time wanted.
3. Partitions: one worker reads at least one, so their number is the most workers there can be, and
   it is expensive to change later: some more than needed now.
4. The rest follows from rates and sizes.

Left out on purpose: compression, other programs on the brokers, disks as a limit of their own,
sensors of very different rates (docs/scaling.md tells what to do with those).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from workers.sizing.fleet import DAY_S, Fleet
from workers.sizing.measured import Measured

COMMIT_INTERVAL_S: Final = 0.2
"""`processing.commit_interval_s`: a busy worker publishes so often."""
MOST_WORKERS: Final = 1_000
"""Of one `vigie run`; further runs join the group under another `kafka.instance`."""
MOST_PARTITIONS: Final = 10_000
FEWEST_PARTITIONS: Final = 4
BROKER_MB_PER_S: Final = 100.0
"""Assumed of a broker, in and out together: a 10 GbE card at a tenth of it, or one good disk."""
BROKER_REPLICAS: Final = 4_000
"""Assumed: partitions, copies too, that one broker keeps."""
TOPICS: Final = 6
"""With as many partitions as the readings."""
EVENTS_PER_INCIDENT: Final = 3
MARGIN: Final = 1.25
"""On what a setting limits, so that the limit is not met."""


class TooMuchError(ValueError):
    """No number of workers does what is wanted; says why and what would."""


@dataclass(frozen=True, kw_only=True)
class CostPerReading:
    """Processor microseconds of an ingest worker, by stage."""

    read: float
    score: float
    publish: float

    @property
    def total(self) -> float:
        """All stages."""
        return self.read + self.score + self.publish


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What a running pipeline costs: in the stead of the measured figures.

    Attributes:
        us_per_reading: processor time of its ingest workers.
        busy: share of the time that they were at work: below about a half they could do more.
        readings_per_s: that it read.
        worker_mb: memory of its largest worker.
        sensors_per_worker: of that one.
        scorers: actors that score; 0 when the ingest workers do.
    """

    us_per_reading: float
    busy: float
    readings_per_s: float
    worker_mb: float
    sensors_per_worker: int
    scorers: int


@dataclass(frozen=True, kw_only=True)
class Workers:
    """How many ingest workers there should be.

    Attributes:
        needed: so many.
        by_processor, by_recovery: for either reason alone.
        per_s: readings a second of the busiest, at this load.
        sensors: of the busiest.
        down_s: from its crash until its windows are there again.
        recovered_s: and until it has caught up.
    """

    needed: int
    by_processor: int
    by_recovery: int
    per_s: float
    sensors: int
    down_s: float
    recovered_s: float


def readings_at_once(fleet: Fleet) -> float:
    """Readings of one sensor that a busy worker publishes together, at least 1."""
    return max(fleet.readings_per_record, COMMIT_INTERVAL_S / fleet.every_s, 1.0)


def cost_per_reading(fleet: Fleet, measured: Measured) -> CostPerReading:
    """What a reading costs an ingest worker, commits apart."""
    costs, channels = measured.processor, fleet.channels
    record = costs.fetch_record
    if fleet.readings_per_record > 1:
        record += costs.frame_record
    return CostPerReading(
        read=costs.read[fleet.encoding].at(channels) + record / fleet.readings_per_record,
        score=costs.score[fleet.detector].at(channels),
        publish=costs.publish.at(channels) + costs.publish_sensor / readings_at_once(fleet),
    )


def crowding(places: int, sensors: int) -> float:
    """Sensors of the fullest of so many places over the mean, as keys fall by chance.

    The largest of P Poisson numbers of mean m is about m + sqrt(2 m ln P).
    """
    if places <= 1:
        return 1.0
    mean = sensors / places
    return min(1.0 + math.sqrt(2.0 * math.log(places) / mean), float(places))


def workers_for(
    fleet: Fleet, measured: Measured, *, us_per_reading: float, start_s: float
) -> Workers:
    """How many ingest workers the load and the recovery want.

    Raises:
        TooMuchError: one sensor alone is too much for a worker, or recovery cannot be so fast.
    """
    costs = measured.processor
    turns = (costs.commit + costs.score_call) / COMMIT_INTERVAL_S / 1e6
    room_us = (fleet.busy - min(turns, fleet.busy / 2)) * 1e6
    most_per_s = room_us / us_per_reading
    if 1.0 / fleet.every_s > most_per_s:
        raise TooMuchError(
            f"one sensor brings {1 / fleet.every_s:,.0f} readings/s, and a worker takes "
            f"{most_per_s:,.0f}: a sensor lies in one partition, and a partition has one worker. "
            "Send frames, resample, or split the sensor's channels over two sensors"
        )
    by_processor = _fewest(fleet, fleet.sensors * us_per_reading / fleet.every_s / room_us)
    restore_us = costs.restore[fleet.encoding].at(fleet.channels)
    sensor_s = fleet.restored_readings * restore_us / 1e6
    allowed_s = fleet.recover_s * (1.0 - fleet.busy) - start_s
    if allowed_s < sensor_s:
        least_s = math.ceil((start_s + sensor_s) / (1.0 - fleet.busy))
        raise TooMuchError(
            f"recovery within {fleet.recover_s:g} s is not possible: a worker takes {start_s:g} s "
            f"to start, and one that is {fleet.busy:.0%} busy needs the rest of the time to catch "
            f"up. Allow {least_s:,} s or more (--recover), or more head-room (--busy)"
        )
    by_recovery = _fewest(fleet, fleet.sensors * sensor_s / allowed_s)
    needed = max(by_processor, by_recovery)
    sensors = math.ceil(fleet.sensors / needed * crowding(needed, fleet.sensors))
    down_s = start_s + sensors * sensor_s
    per_s = sensors / fleet.every_s
    busy = min(per_s * us_per_reading / 1e6 + turns, 0.99)
    return Workers(
        needed=needed,
        by_processor=by_processor,
        by_recovery=by_recovery,
        per_s=per_s,
        sensors=sensors,
        down_s=down_s,
        recovered_s=down_s / (1.0 - busy),
    )


def _fewest(fleet: Fleet, load: float) -> int:
    """Workers of which the fullest bears no more than its share of a load of so many workers."""
    least, most = max(math.ceil(load), 1), max(fleet.sensors, 1)
    # The fullest one's load falls with every worker more: halve the interval.
    while least < most:
        middle = (least + most) // 2
        if load / middle * crowding(middle, fleet.sensors) <= 1.0:
            most = middle
        else:
            least = middle + 1
    return least


def partitions_for(fleet: Fleet, workers: int) -> int:
    """Partitions of the readings: a multiple of the workers, so that each has as many.

    Raises:
        TooMuchError: more than a topic may have.
    """
    partitions = max(workers * math.ceil(fleet.growth), FEWEST_PARTITIONS)
    if partitions > MOST_PARTITIONS:
        partitions = MOST_PARTITIONS // workers * workers
    if partitions < workers:
        raise TooMuchError(
            f"{workers:,} workers are needed, and a topic has at most {MOST_PARTITIONS:,} "
            "partitions, each read by one: send frames, or split the fleet over several topics, "
            "with a group and a run for each"
        )
    return partitions


@dataclass(frozen=True, kw_only=True)
class KafkaNeeds:
    """What the cluster of brokers has to bear; copies included where it says so.

    Attributes:
        written_mb_s: by producers and workers, without copies.
        network_mb_s: in and out of all brokers together, copies and readers included.
        disk_gb_per_day: that topics grow by, with copies; compacted ones apart.
        disk_gb: kept at the end of the retention, with copies and the compacted ones.
        brokers: enough for network, partitions and copies.
        cores: of all brokers together.
    """

    written_mb_s: float
    network_mb_s: float
    disk_gb_per_day: float
    disk_gb: float
    brokers: int
    cores: float


def kafka_for(fleet: Fleet, measured: Measured, *, partitions: int) -> KafkaNeeds:
    """What the brokers have to bear."""
    sizes, rate, at_once = measured.sizes, fleet.readings_per_s, readings_at_once(fleet)
    copies = fleet.replication
    incidents = fleet.sensors * fleet.incidents_per_week / (7 * DAY_S) * EVENTS_PER_INCIDENT
    read = rate * sizes.record[fleet.encoding].at(fleet.channels)
    cleaned = rate * (sizes.cleaned.at(fleet.channels) + sizes.cleaned_record / at_once)
    state = rate / at_once * sizes.state
    kept = read + cleaned + incidents * sizes.incident
    written = kept + state
    # Written once by a client, fetched by the copies; readings and outputs are read once more.
    network = written * copies + written * (copies - 1) + written
    records = rate / fleet.readings_per_record + 2 * rate / at_once
    cores = records * (copies + 1) * measured.processor.broker_record / 1e6
    return KafkaNeeds(
        written_mb_s=written / 1e6,
        network_mb_s=network / 1e6,
        disk_gb_per_day=kept * copies * DAY_S / 1e9,
        # A compacted topic keeps a document a sensor, and about as much that is not cleaned yet.
        disk_gb=(kept * fleet.retention_s + 2 * fleet.sensors * sizes.state) * copies / 1e9,
        brokers=max(
            copies,
            math.ceil(network / 1e6 / BROKER_MB_PER_S),
            math.ceil(partitions * TOPICS * copies / BROKER_REPLICAS),
        ),
        cores=cores,
    )
