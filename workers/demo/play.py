"""The whole demo in order: broker, model, topics, plant, pipeline, audience, accounts."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from detector.calibration.budget import Basis
from detector.evaluation import EARLY_ROWS
from detector.scoring import Detector
from detector.training.train import Progress
from schemas.settings import Settings
from schemas.wire.incident import Incident
from workers.broker.embedded import BrokerConfig
from workers.demo.accounts import Broker, balance
from workers.demo.feeder import Feeder
from workers.demo.gateway import DemoGateway, gateway_of
from workers.demo.learning import learn
from workers.demo.ledger import Ledger
from workers.demo.listener import Listener
from workers.demo.operator import Operator
from workers.demo.picture import draw_pump
from workers.demo.scenario import Scenario
from workers.demo.screen import Shown, View
from workers.demo.summary import Spoken, Summary
from workers.demo.told import Told
from workers.demo.verdict import Verdict, fault_behind, gain_db, in_words, judge
from workers.kafka.factory import admin_of, connection_of, topic_specs
from workers.pictures import PlotExtraError
from workers.plant.faults import Fault
from workers.plant.plant import PlantChunk
from workers.process import configure_logging
from workers.stream.health import Health, Phase, measures_of
from workers.stream.state.counts import Counts
from workers.supervision.pipeline import run_pipeline
from workers.verdicts.writer import open_wish_writer

_PARTITIONS = 4
_BEGIN_WITHIN_S = 15.0
_CATCH_UP_WITHIN_S = 30.0
_LOOK_EVERY_S = 0.5
_READ_WITHIN_S = 120.0
_TOLD_WITHIN_S = 20.0
_RATE_OVER_S = 3.0


class Audience:
    """Those who watch the demo; called in the main thread. This one is silent."""

    def step(self, text: str) -> None:
        """A new step begins."""

    def fetching(self, done: int, total: int) -> None:
        """Bytes of the broker, in the first run only."""

    def training(self, progress: Progress) -> None:
        """The training goes on."""

    def page_is_at(self, url: str) -> None:
        """There is a page to look at, until the demo ends."""

    def watching(self, view: View) -> None:
        """The stream runs; several times a second."""


def play(
    scenario: Scenario,
    audience: Audience,
    *,
    folder: Path,
    max_steps: int,
    should_stop: Callable[[], bool],
) -> Summary:
    """Play it, from the broker's start to the last account; leaves nothing but `folder`.

    Args:
        scenario: the plant and the pace.
        audience: sees everything.
        folder: for model, log and picture; made if need be.
        max_steps: of the training.
        should_stop: true ends the streaming early; the summary comes all the same.

    Raises:
        ProvisioningError: no broker can be had.
        KeyboardInterrupt: `should_stop` said so before anything streamed.
        VigieError: whatever ended a part of it early.
    """

    def progress(now: Progress) -> None:
        if should_stop():
            raise KeyboardInterrupt
        audience.training(now)

    audience.step("starting a Kafka broker of its own")
    with BrokerConfig().open(on_progress=audience.fetching) as broker:
        audience.step(
            f"learning what normal looks like: {scenario.training_rows:,} readings of each of "
            f"{scenario.machines} pumps"
        )
        detector = learn(scenario, folder / "model", max_steps=max_steps, progress=progress)
        settings = _settings(broker.bootstrap, folder / "model")
        configure_logging(settings.log)
        admin_of(connection_of(settings.kafka)).create_topics(topic_specs(settings.topics))
        audience.step("starting Ray, the workers and the gateway")
        with gateway_of(settings, folder) as (gateway, serve):
            show = _Show(
                scenario,
                settings,
                detector,
                audience,
                gateway=gateway,
                asked_to_stop=should_stop,
            )
            try:
                healths = run_pipeline(
                    settings, should_stop=show.should_stop, observe=show.observe, serve=serve
                )
            finally:
                show.feeder.stop(within_s=_CATCH_UP_WITHIN_S)
            if show.ledger is None or show.listener is None or show.operator is None:
                raise KeyboardInterrupt
            audience.step("reading the topics back")
            show.operator.finish(within_s=_READ_WITHIN_S)
            show.listener.finish(within_s=_READ_WITHIN_S)
            told = gateway.settle(show.ledger, within_s=_TOLD_WITHIN_S)
            gateway.dismiss()  # that takes seconds, as the picture does
            counts = sum((health.total for health in healths), Counts())
            return _sum_up(show, counts, detector, told, folder)


def _settings(bootstrap: str, model: Path) -> Settings:
    return Settings.model_validate(
        {
            "kafka": {"bootstrap": bootstrap, "group": "vigie-demo"},
            "topics": {"partitions": _PARTITIONS},
            "model": {"path": model},
            "log": {"level": "warning", "format": "json"},
        }
    )


class _Show:
    """What happens while the pipeline runs; called by its supervisor a few times a second."""

    def __init__(
        self,
        scenario: Scenario,
        settings: Settings,
        detector: Detector,
        audience: Audience,
        *,
        gateway: DemoGateway,
        asked_to_stop: Callable[[], bool],
    ) -> None:
        self.scenario, self.settings, self._detector = scenario, settings, detector
        self._audience, self._asked_to_stop = audience, asked_to_stop
        self._gateway = gateway
        self._connection = connection_of(settings.kafka)
        self._rates: deque[tuple[float, int, int]] = deque()
        self._running_since_s: float | None = None
        self._done_at_s: float | None = None
        self._note = ""
        self._look_at_s = 0.0
        self.feeder = Feeder(scenario, self._connection, settings.topics.readings)
        self.ledger: Ledger | None = None
        self.listener: Listener | None = None
        self.operator: Operator | None = None
        self.feeder.start()

    def should_stop(self) -> bool:
        """Whether everything that was sent has been scored, or the show ends before it began."""
        if self.feeder.error is not None:
            raise self.feeder.error
        if self.ledger is None:
            return self._asked_to_stop()
        if self._asked_to_stop() and not self._note:
            self._note = "stopping: finishing what was sent"
            self.feeder.stop(within_s=0.0)
        if not self.feeder.is_done:
            return False
        now_s = time.monotonic()
        self._done_at_s = self._done_at_s or now_s
        if now_s - self._done_at_s > _CATCH_UP_WITHIN_S:
            return True  # the accounts will show what is missing
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + _LOOK_EVERY_S
            # The broker knows it for sure: a worker that was restarted counts from 0.
            return facts_of(self.settings).committed >= self.feeder.sent.records
        return False

    def observe(self, healths: list[Health]) -> None:
        """Let the plant run once the workers do, then show how it goes."""
        if self.ledger is None:
            self._begin(healths)
        else:
            self._audience.watching(self._view(healths, self.ledger))

    def _begin(self, healths: list[Health]) -> None:
        if not self.feeder.ready.is_set() or any(h.phase is not Phase.RUNNING for h in healths):
            return
        now_s = time.monotonic()
        self._running_since_s = self._running_since_s or now_s
        held = sum(len(health.lag) for health in healths)
        if held < _PARTITIONS and now_s - self._running_since_s < _BEGIN_WITHIN_S:
            return
        if not self._gateway.settled.is_set():  # it will be, within a minute
            return
        if self._gateway.page:
            self._audience.page_is_at(self._gateway.page)
        self.feeder.go()
        plant = self.scenario.plant()
        self.ledger = Ledger(
            machines=plant.machines,
            channels=plant.channels,
            start_ns=self.feeder.start_ns,
            interval_ns=self.scenario.interval_ns,
            kept_rows=self.scenario.kept_rows,
        )
        self.listener = Listener(self._connection, self.settings.topics, self.ledger)
        self.listener.start()
        open_writer = partial(open_wish_writer, self._connection, self.settings.topics.verdicts)
        self.operator = Operator(open_writer, self.ledger, self.fault_of)
        self.operator.start()

    def fault_of(self, incident: Incident) -> Fault | None:
        """What the simulator had broken when an incident opened."""
        assert self.ledger is not None
        row, warm_up = self.ledger.row(incident.opened_ns), self._detector.warm_up
        near = self.scenario.faults_between(max(row - warm_up, 0), row + EARLY_ROWS)
        machine = self.ledger.machines.index(incident.sensor_id)
        return fault_behind(near, machine, row, warm_up=warm_up)

    def _view(self, healths: list[Health], ledger: Ledger) -> View:
        counts = sum((health.total for health in healths), Counts())
        sent, now_s = self.feeder.sent, time.monotonic()
        self._rates.append((now_s, sent.records, counts.records))
        while now_s - self._rates[0][0] > _RATE_OVER_S:
            self._rates.popleft()
        since_s, sent_then, done_then = self._rates[0]
        span_s = now_s - since_s or 1.0
        latency = measures_of(healths).latency
        return View(
            elapsed_s=(time.time_ns() - self.feeder.start_ns) / 1e9,
            seconds=self.scenario.seconds,
            sent_per_s=(sent.records - sent_then) / span_s,
            scored_per_s=(counts.records - done_then) / span_s,
            counts=counts,
            lag=sum(sum(health.lag.values()) for health in healths),
            sensors=sum(health.sensors for health in healths),
            workers=len(healths),
            p50_ms=latency.quantile(0.5),
            p99_ms=latency.quantile(0.99),
            incidents=[self._shown(one.data) for one in reversed(list(ledger.incidents.values()))],
            opened=len(ledger.incidents),
            webhooks=self._gateway.webhooks,
            note=self._note or ("everything is sent; finishing" if self.feeder.is_done else ""),
        )

    def _shown(self, incident: Incident) -> Shown:
        assert self.operator is not None
        fault = self.fault_of(incident)
        wish = self.operator.said.get(incident.id)
        until_ns = time.time_ns() if incident.end_ns is None else incident.end_ns
        return Shown(
            told=incident,
            truth="" if fault is None else in_words(fault),
            verdict="" if wish is None else wish.kind.replace("_", " "),
            lasted_s=(until_ns - incident.opened_ns) / 1e9 * self.scenario.lapse,
        )


def facts_of(settings: Settings) -> Broker:
    """What the broker says about readings and commits."""
    admin, topic = admin_of(connection_of(settings.kafka)), settings.topics.readings
    bounds = admin.topic_bounds({topic: _PARTITIONS})
    group = admin.describe_group(settings.kafka.group, topic)
    return Broker(
        records=sum(end - first for first, end in bounds.values()),
        committed=sum(at.next_offset for at in group.committed.values()),
    )


def _sum_up(show: _Show, counts: Counts, detector: Detector, told: Told, folder: Path) -> Summary:
    assert show.ledger is not None
    assert show.operator is not None
    rule = detector.head.alarms
    assert rule is not None
    ledger, sent, scenario = show.ledger, show.feeder.sent, show.scenario
    rows = sent.readings // scenario.machines
    broker = facts_of(show.settings)
    accounts = balance(sent, ledger, counts, broker, warm_up=detector.warm_up)
    faults = scenario.faults_between(0, rows)
    verdict = judge(ledger, faults, rows=rows, warm_up=detector.warm_up, rate=rule.rate)
    # What lies behind the last whole row was prepared and not sent.
    truth = [part for chunk in show.feeder.truth if len(part := chunk.part(0, rows))]
    picture, note = _draw(scenario, truth, ledger, verdict, folder)
    return Summary(
        seconds=rows * scenario.interval_ns / 1e9,
        accounts=accounts,
        verdict=verdict,
        spoken=Spoken.of(show.operator.said.values(), ledger.heeded),
        told=told,
        machines=ledger.machines,
        interval_s=scenario.interval_ns / 1e9,
        gain_db=_gain(truth, ledger, faults, detector),
        latency_ms={"p50": ledger.latency.quantile(0.5), "p99": ledger.latency.quantile(0.99)},
        model={
            "name": detector.name,
            "version": detector.version,
            "budget_is_certified": detector.identity.training["budget_basis"] == Basis.COUNTED,
        },
        picture=picture,
        picture_note=note,
        folder=folder,
    )


def _gain(
    truth: list[PlantChunk], ledger: Ledger, faults: list[Fault], detector: Detector
) -> dict[str, float]:
    """Noise removed on rows whose windows hold no fault, in decibels per channel."""
    if not truth:
        return dict.fromkeys(ledger.channels, float("nan"))
    first = truth[0].first_row
    clean, noisy = (
        np.concatenate([getattr(chunk, name) for chunk in truth]) for name in ("clean", "noisy")
    )
    normal = np.ones(clean.shape[:2], dtype=bool)
    for fault in faults:
        start = max(fault.start_row - first, 0)
        end = max(fault.end_row - first + detector.receptive_field - 1, 0)
        normal[start:end, fault.machine] = False
    _, denoised = ledger.outputs(first + np.arange(len(clean)))
    gains = gain_db(clean[normal], noisy[normal], denoised[normal])
    return dict(zip(ledger.channels, gains.tolist(), strict=True))


def _draw(
    scenario: Scenario, truth: list[PlantChunk], ledger: Ledger, verdict: Verdict, folder: Path
) -> tuple[Path | None, str]:
    if not truth:
        return None, "nothing was sent"
    title = f"{{pump}}, in time lapse ({scenario.lapse:.0f}x)"
    try:
        return draw_pump(truth, ledger, verdict, folder / "picture.png", title=title), ""
    except PlotExtraError as error:
        return None, str(error)
