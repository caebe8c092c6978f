"""Every setting of Vigie: its name, default, and what is allowed.

`load_settings` puts them together from file, environment and flags (`schemas.settings.loading`);
constructing `Settings` itself reads nothing. Immutable and picklable: settings travel to actors.
Texts among the options of the Kafka client are `SecretStr` unless known to be harmless: they print
as asterisks, and only `KafkaSettings.client_options` reveals them.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from schemas.settings.gateway import (
    GatewaySettings,
    Inhibitions,
    OidcSettings,
    SmtpSettings,
)
from schemas.settings.input import InputSettings
from schemas.settings.observing import MetricsSettings, TracingSettings
from schemas.settings.off import Off
from schemas.settings.rules import Rules
from schemas.settings.secret import concealed, revealed
from schemas.settings.section import Section
from schemas.wire.fields import Name
from schemas.wire.limits import MAX_CHANNELS


def _no_dots(name: str) -> str:
    if name in {".", ".."}:
        raise ValueError(f"a topic cannot be called {name!r}")
    return name


def _no_credentials(address: str) -> str:
    if "@" in address:
        raise ValueError(
            "an address holds no user and no password; a Kafka client's go to [kafka.client],"
            " a registry's to [registry]"
        )
    return address


Topic = Annotated[
    str, Field(min_length=1, max_length=249, pattern="^[a-zA-Z0-9._-]+$"), AfterValidator(_no_dots)
]
"""A topic name that Kafka takes."""

# Kafka takes 249 of these characters as a member's name (group.instance.id): a group, an instance
# and a slot. Only the group may hold the dots that part them, so no two workers get one name.
Group = Annotated[str, Field(min_length=1, max_length=180, pattern="^[a-zA-Z0-9._-]+$")]
Instance = Annotated[str, Field(min_length=1, max_length=60, pattern="^[a-zA-Z0-9_-]+$")]


class Guarantee(StrEnum):
    """What a reader of the outputs can rely on."""

    AT_LEAST_ONCE = "at_least_once"
    """Nothing is lost; after a crash an output may come twice, with the same id."""
    EXACTLY_ONCE = "exactly_once"
    """A `read_committed` reader sees each output once."""


class KafkaSettings(Section):
    """Where the broker is and how to reach it."""

    bootstrap: Annotated[
        str, Field(min_length=1, max_length=4096), AfterValidator(_no_credentials)
    ] = "localhost:9092"
    """Brokers to begin with, as host:port, separated by commas."""
    group: Group = "vigie"
    """Consumer group of the stream."""
    instance: Instance = "main"
    """Name of this run within the group: two runs that share a group need two names."""
    assignment: Literal["cooperative", "range"] = "cooperative"
    """How the group shares partitions; the same for all its members."""
    client: Annotated[dict[str, Any], AfterValidator(concealed)] = Field(
        default_factory=dict, json_schema_extra={"additionalProperties": True}
    )
    """Options passed to the Kafka client as they are, such as security_protocol."""

    def client_options(self) -> dict[str, Any]:
        """The client's options with the secrets revealed: for the client's constructor only."""
        client: dict[str, Any] = revealed(self.client)
        return client


class TopicSettings(Section):
    """Names of the topics and how to create them."""

    readings: Topic = "vigie.readings"
    """Readings to score."""
    anomalies: Topic = "vigie.anomalies"
    """Flagged readings."""
    denoised: Topic = "vigie.denoised"
    """The cleaned signal."""
    dead_letters: Topic = "vigie.dead-letters"
    """Records that could not be decoded."""
    sensor_state: Topic = "vigie.sensor-state"
    """What is recorded of each sensor; compacted, with the partitions of the readings."""
    incidents: Topic = "vigie.incidents"
    """Incidents, as they open, go on and end, and the wishes that were heeded."""
    verdicts: Topic = "vigie.verdicts"
    """What people and programs wish for sensors; compacted, one partition."""
    partitions: Annotated[int, Field(ge=1, le=10_000)] = 4
    """Partitions of each topic that `vigie topics create` makes."""
    replication_factor: Annotated[int, Field(ge=1, le=100)] = 1
    """Copies of each partition that `vigie topics create` makes."""

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, the readings first."""
        return (
            self.readings,
            self.anomalies,
            self.denoised,
            self.dead_letters,
            self.sensor_state,
            self.incidents,
            self.verdicts,
        )

    @model_validator(mode="after")
    def _no_loop(self) -> Self:
        names = self.names
        if len(set(names)) < len(names):
            raise ValueError(
                "readings, anomalies, denoised, dead_letters, sensor_state, incidents and verdicts "
                f"must be different topics, got {', '.join(names)}"
            )
        return self


class RegistrySettings(Section):
    """The schema registry that explains records in Confluent's wire format."""

    url: Annotated[
        str,
        Field(max_length=4096, pattern=r"^(https?://[^\s,]+(,https?://[^\s,]+)*)?$"),
        AfterValidator(_no_credentials),
    ] = ""
    """Its address; several with commas. Apicurio's ends in /apis/ccompat/v7."""
    user: Annotated[str, Field(max_length=1024, pattern="^[^:]*$")] = ""
    """User of basic authentication; a cloud's API key."""
    password: Annotated[SecretStr, Field(max_length=4096)] = SecretStr("")
    """Password of that user."""
    token: Annotated[SecretStr, Field(max_length=65_536)] = SecretStr("")
    """Bearer token, in the stead of user and password."""
    ca_file: Path | None = None
    """Certificates that are trusted in the stead of the machine's, as PEM."""
    reader_schema: Path | None = None
    """Avro schema (.avsc) as which records are read: by names, with its aliases and defaults."""
    timeout_s: Annotated[float, Field(gt=0, le=20)] = 5.0
    """How long one question may take, at all addresses together; then the stream waits."""
    max_schemas: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Most schemas that a worker keeps; of more, the one that was not used for longest goes."""

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if self.user and self.token.get_secret_value():
            raise ValueError("user and token are two ways to log in: give one")
        token = self.token.get_secret_value()
        if not (token.isascii() and token.isprintable()):
            raise ValueError("token holds a line break or another character that no header takes")
        return self


class ModelSettings(Section):
    """The trained model."""

    path: Path | None = None
    """Folder of the model's artifact, as `vigie train` writes it."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it computes; auto takes CUDA if there is one at the start."""


class SensorSettings(Section):
    """What is known of the sensors."""

    path: Path | None = None
    """File of their labels (.csv, .json), for the anomalies; read again when it changes."""


IncidentMode = Literal["structured", "binary"]


class StreamSettings(Section):
    """What is read and written, and the policies for it."""

    channels: Annotated[dict[Name, Name], Field(max_length=MAX_CHANNELS)] = Field(
        default_factory=dict
    )
    """Name on the wire of each model channel that is called something else there."""
    content_type: Literal[
        "application/vnd.vigie.reading.v1+json",
        "application/json",
        "application/vnd.vigie.frame.v1+json",
        "application/vnd.vigie.frame.v1+arrow",
    ] = "application/vnd.vigie.reading.v1+json"
    """Format of records without a content-type header."""
    max_gap_s: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    """A longer gap in a sensor's readings restarts its warm-up; 0 takes the model's."""
    max_ahead_s: Annotated[float, Field(ge=0, le=1e9)] = 86_400.0
    """An event time further ahead of its record's timestamp is a dead letter; 0 allows any."""
    max_behind_s: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    """An event time further behind its record's timestamp is a dead letter; 0 allows any."""
    max_record_bytes: Annotated[int, Field(ge=64, le=100_000_000)] = 1_000_000
    """Larger records become dead letters unread."""
    max_dead_letter_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """A larger share of bad records among a partition's last ones ends the run; 0 is no limit."""
    dead_letter_window: Annotated[int, Field(ge=10, le=1_000_000)] = 10_000
    """How many records of a partition that share is taken of; judged once so many were read."""
    max_dead_letters_in_row: Annotated[int, Field(ge=0, le=1_000_000)] = 5000
    """More bad records of a partition without a good one between end the run; 0 is no limit."""
    max_poll_records: Annotated[int, Field(ge=1, le=1_000_000)] = 5000
    """Most records of one poll."""
    max_restore_records: Annotated[int, Field(ge=2, le=1_000_000_000)] = 4_000_000
    """Most records of a partition read again after a restart; older readings are forgotten."""
    max_restore_age_s: Annotated[float, Field(gt=0, le=1e9)] = 604_800.0
    """The same as an age, by the records' timestamps: a week."""
    denoised: Literal["off", "causal", "settled"] = "causal"
    """The cleaned signal that is published: none, each reading from what came before it, or beside
    that once more some readings later, with look-ahead."""
    denoised_content_type: Literal[
        "application/vnd.vigie.denoised.v1+json", "application/vnd.vigie.denoised.v1+arrow"
    ] = "application/vnd.vigie.denoised.v1+json"
    """Format of the cleaned signal."""
    incidents: IncidentMode = "structured"
    """CloudEvents of incidents: one JSON document, or the data with attributes in headers."""
    max_stale_s: Annotated[float, Field(ge=1, le=1e9)] = 3600.0
    """An incident of a sensor that brings nothing for so long ends as stale; by the records'
    timestamps."""
    start: Literal["earliest", "latest"] = "earliest"
    """Where a group without committed offsets begins."""

    @model_validator(mode="after")
    def _one_channel_a_wire_name(self) -> Self:
        wire = list(self.channels.values())
        twice = sorted({name for name in wire if wire.count(name) > 1})
        if twice:
            raise ValueError(f"channels: two model channels read {', '.join(twice)}")
        return self


class RepartitionSettings(Section):
    """What `vigie repartition` reads, and how it puts readings in order."""

    source: Topic = "vigie.unordered"
    """Readings without a key, or keyed by something else than their sensor."""
    shuffled: Topic = "vigie.shuffled"
    """The same by sensor, not yet in order: between the two hops."""
    max_disorder_s: Annotated[float, Field(ge=0, le=86_400)] = 5.0
    """How far a reading may lie behind a newer one of its sensor, in the time of the source's
    records; readings wait so long to be put in order. 0 leaves them as they come."""
    max_held_records: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    """Most records of a partition that wait; beyond, the oldest go on before their time."""

    @model_validator(mode="after")
    def _two_topics(self) -> Self:
        if self.source == self.shuffled:
            raise ValueError(f"source and shuffled must be two topics, got {self.source} for both")
        return self


class ProcessingSettings(Section):
    """From poll to commit."""

    guarantee: Guarantee = Guarantee.EXACTLY_ONCE
    """What a reader of the outputs can rely on."""
    commit_interval_s: Annotated[float, Field(gt=0, le=60)] = 0.2
    """Outputs and offsets are committed at least this often; sooner when nothing else waits."""
    transaction_timeout_s: Annotated[float, Field(ge=1, le=900)] = 8.0
    """The broker aborts a transaction of a silent worker then; less than the session timeout."""
    max_transaction_outputs: Annotated[int, Field(ge=1, le=10_000_000)] = 50_000
    """Outputs after which a unit of work is committed, whatever the interval says."""
    max_transaction_bytes: Annotated[int, Field(ge=1, le=2**31)] = 64 * 2**20
    """The same in bytes of keys and values."""
    flush_timeout_s: Annotated[float, Field(gt=0, le=600)] = 10.0
    """Outputs that the broker has not taken by then are given up and sent again."""
    max_in_flight: Annotated[int, Field(ge=1, le=1000)] = 4
    """Calls to scorers that one ingest worker keeps open; beyond, it pauses its partitions."""
    drain_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """Time to finish what is in flight when told to stop."""


class WorkerSettings(Section):
    """How many processes do what."""

    ingest: Literal["auto"] | Annotated[int, Field(ge=1, le=1000)] = "auto"
    """Ingest workers: a number stays; auto begins with one per core, at most one per partition."""
    scorers: Literal["auto"] | Annotated[int, Field(ge=0, le=1000)] = "auto"
    """Scorer actors, where scoring runs in actors: a number stays, auto begins with the fewest."""
    scaling: Literal["auto", "off"] = "auto"
    """Whether what is auto follows the load; `vigie scale` can change it while it runs."""
    min_ingest: Annotated[int, Field(ge=1, le=1000)] = 1
    """Fewest ingest workers that scaling leaves."""
    max_ingest: Literal["auto"] | Annotated[int, Field(ge=1, le=1000)] = "auto"
    """Most ingest workers of scaling; auto is one per core, as nodes come and go. Never more than
    one per partition."""
    min_scorers: Annotated[int, Field(ge=1, le=1000)] = 1
    """Fewest scorers that scaling leaves."""
    max_scorers: Literal["auto"] | Annotated[int, Field(ge=1, le=1000)] = "auto"
    """Most scorers of scaling; auto is as many as the GPUs carry, without a GPU one per core."""
    scale_out_after_s: Annotated[float, Field(gt=0, le=86_400)] = 15.0
    """Busy workers that need longer than this for what waits get help; also the time looked at."""
    scale_in_after_s: Annotated[float, Field(gt=0, le=864_000)] = 300.0
    """A worker leaves when one fewer would have had room for so long."""
    scaling_pause_s: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    """Shortest time between two changes."""
    placement: Literal["auto", "ingest", "actors"] = "auto"
    """Where scoring runs; auto is in scorer actors with CUDA, in the ingest workers without."""
    num_gpus_per_scorer: Annotated[float, Field(ge=0, le=64)] = 1.0
    """GPUs, or share of one, that a scorer actor reserves."""
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    """Threads with which one worker computes."""
    stall_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """A worker that stands still with work before it, or does not answer, so long is replaced."""
    max_restarts: Annotated[int, Field(ge=0, le=1000)] = 5
    """Restarts of one worker within `restart_window_s` before `vigie run` gives up."""
    restart_window_s: Annotated[float, Field(gt=0, le=86_400)] = 300.0
    """The time in which restarts are counted."""

    @model_validator(mode="after")
    def _actors_exist(self) -> Self:
        if self.placement == "actors" and self.scorers == 0:
            raise ValueError('placement = "actors" needs scorers of at least 1, got 0')
        return self

    @model_validator(mode="after")
    def _limits_in_order(self) -> Self:
        for kind, least, most in (
            ("ingest", self.min_ingest, self.max_ingest),
            ("scorers", self.min_scorers, self.max_scorers),
        ):
            if most != "auto" and most < least:
                raise ValueError(f"max_{kind} must be at least min_{kind}, got {most} < {least}")
        return self


class RaySettings(Section):
    """The cluster."""

    address: (
        Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_no_credentials)] | None
    ) = None
    """A cluster's head, HOST:PORT; auto is the node on this machine; without one, a local Ray."""
    head_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """A head that is silent for so long is lost: workers are drained, `vigie run` ends."""
    start_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 120.0
    """How long a worker may take to be ready, bringing a node for it included; then it is given up,
    or the run ends."""


class LogSettings(Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important messages that are shown."""
    format: Literal["auto", "json", "console"] = "auto"
    """auto is colours on a terminal, JSON elsewhere."""


class Settings(Section):
    """All settings of Vigie, as in `vigie.toml`."""

    kafka: KafkaSettings = KafkaSettings()
    topics: TopicSettings = TopicSettings()
    registry: RegistrySettings = RegistrySettings()
    model: ModelSettings = ModelSettings()
    sensors: SensorSettings = SensorSettings()
    input: InputSettings = InputSettings()
    stream: StreamSettings = StreamSettings()
    rules: Rules = ()
    """What people know beside the model: a list of tables."""
    off: Off = ()
    """When sensors are not judged: a list of tables."""
    repartition: RepartitionSettings = RepartitionSettings()
    processing: ProcessingSettings = ProcessingSettings()
    workers: WorkerSettings = WorkerSettings()
    ray: RaySettings = RaySettings()
    gateway: GatewaySettings = GatewaySettings()
    smtp: SmtpSettings = SmtpSettings()
    oidc: OidcSettings = OidcSettings()
    inhibit: Inhibitions = ()
    """Which incidents mute others: a list of tables."""
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()
    tracing: TracingSettings = TracingSettings()

    @model_validator(mode="after")
    def _one_default_format(self) -> Self:
        if not self.input.is_vigies_own and "content_type" in self.stream.model_fields_set:
            raise ValueError(
                "stream.content_type and [input] both say how records without a content-type"
                " header are read; give one of them"
            )
        return self
