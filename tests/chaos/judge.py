"""What a run is judged by: everything read back, against the log, the calm run, the backtest."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from schemas.settings import Guarantee, Settings, TopicSettings
from schemas.wire.deed import Deed
from tests.chaos import checkers, oracle
from tests.chaos.checkers import Violations
from tests.chaos.cluster import Cluster
from tests.chaos.commits import Commit, read_commits
from tests.chaos.incidents import (
    anomalies_belong,
    equal_incidents,
    ordered_incidents,
    same_incidents,
    unique_incidents,
)
from tests.chaos.load import sum_of
from tests.chaos.outcome import Outcome, outcome_of, without_repeats
from tests.chaos.reader import LiveReader, digest
from tests.chaos.recorded import recorded_alike, recorded_of
from tests.chaos.reference import Expected, expected_of
from tests.chaos.replays import backtested, logs_of, restorable
from tests.chaos.replicas import alike
from tests.chaos.segments import Fate, topic_fates
from tests.chaos.transactions import (
    OF_THE_BROKER,
    decided,
    published,
    remainder,
    writers_of_commits,
)
from tests.chaos.wishes import heeded
from tests.support.broker import read_settled
from tests.support.models import small_detector
from workers.kafka.factory import admin_of

RECEPTIVE_FIELD: Final = 16
GROUP: Final = "chaos"
CALM: Final = "calm"
_CLOSED_WITHIN_S: Final = 30.0  # longer than the broker lets a transaction be open


def outputs_of(topics: TopicSettings) -> tuple[str, ...]:
    """The topics whose records are judged one by one."""
    return topics.denoised, topics.anomalies, topics.incidents, topics.dead_letters


def calm_settings(settings: Settings) -> Settings:
    """Those of the undisturbed run, as far as they show in what it publishes."""
    group = settings.kafka.model_copy(update={"group": CALM})
    return settings.model_copy(update={"kafka": group})


def outcome(cluster: Cluster, settings: Settings) -> Outcome:
    """What was published under these settings."""
    topics = settings.topics
    return outcome_of(
        topics,
        (
            record
            for topic in outputs_of(topics)
            for record in read_settled(cluster.direct, topic, within=120.0)
        ),
    )


@dataclass(kw_only=True)
class Judge:
    """Judges a run that is over.

    Attributes:
        cluster: with the topics, and the broker's files.
        settings: of the run.
        guarantee: what was promised.
        reader: was there all the time.
        partitions: of the readings, in the end.
        acknowledged: what brokers said that they have, as `tests.chaos.load.read_acknowledged`.
        counts: what was compared, for the report.
    """

    cluster: Cluster
    settings: Settings
    guarantee: Guarantee
    reader: LiveReader
    partitions: int
    acknowledged: Mapping[tuple[int, int], int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def check(self, undisturbed: Outcome, counted: Mapping[str, int]) -> Violations:
        """Read everything back, and compare."""
        direct, topics = self.cluster.direct, self.settings.topics
        source = read_settled(direct, topics.readings, within=120.0)
        bounds = admin_of(direct).topic_bounds({topics.readings: self.partitions})
        ends = {partition: end for (_, partition), (_, end) in bounds.items()}
        whole = outcome(self.cluster, self.settings)
        deeds = [event.data for _, event in whole.deeds]
        detector = small_detector(RECEPTIVE_FIELD)
        expected = expected_of(source, ends, detector, self.settings, deeds)
        # Nobody says anything to the undisturbed run: the definition is what both have in common.
        calm = expected_of(source, ends, detector, calm_settings(self.settings))
        exact = self.guarantee is Guarantee.EXACTLY_ONCE
        seen = whole if exact else without_repeats(whole)
        commits = read_commits(direct, GROUP, topics.readings)
        self.counts |= {
            **expected.counts,
            "anomalies": len(expected.flagged),
            "source records": len(source),
            "commits": len(commits),
            "repeats": len(whole.denoised) - len(without_repeats(whole).denoised),
            "poison records": sum(
                v.stage == oracle.POISON.stage for v in expected.verdicts.values()
            ),
            "late requests": self.cluster.late_requests,
            "acknowledged": len(self.acknowledged),
        }
        sums = {(record.partition, record.offset): sum_of(record.value) for record in source}
        return [
            *checkers.kept(self.acknowledged, sums),
            *self._check_copies(),
            *checkers.accounted(expected.verdicts, seen),
            *checkers.unique(seen, topics.readings),
            *checkers.ordered(seen),
            *checkers.equal(expected, seen),
            *checkers.equal(calm, undisturbed),
            *(() if deeds else checkers.same(undisturbed, seen)),
            *self._check_incidents(undisturbed, seen, expected, calm),
            *self._check_recorded(expected, calm, exact=exact),
            *self._check_wishes(source, deeds, expected),
            *checkers.counted(counted, calm),
            *checkers.committed(commits, ends),
            *self._check_replays(source, ends, expected, commits),
            *self._check_reader(exact=exact),
            *self._check_transactions(commits, whole, expected, exact=exact),
        ]

    def _check_copies(self) -> Violations:
        """Every broker has the same: so the files of one of them speak for all."""
        topics = (self.settings.topics.readings, *outputs_of(self.settings.topics), *OF_THE_BROKER)
        logs = [node.log for node in self.cluster.nodes]
        return alike(logs, topics, within_s=_CLOSED_WITHIN_S)

    def _check_incidents(
        self, undisturbed: Outcome, seen: Outcome, expected: Expected, calm: Expected
    ) -> Violations:
        """Incidents are those of the definition, of the calm run, and of the anomalies."""
        reasons = [e.data.end_reason.value for e in expected.events.values() if e.data.end_reason]
        self.counts |= {
            "incident events": len(expected.events),
            **{f"incidents {why}": reasons.count(why) for why in sorted(set(reasons))},
        }
        return [
            *unique_incidents(seen),
            *ordered_incidents(seen),
            *anomalies_belong(seen),
            *equal_incidents(expected.events, seen),
            *equal_incidents(calm.events, undisturbed),
            *(() if seen.deeds else same_incidents(undisturbed, seen)),
        ]

    def _check_recorded(self, expected: Expected, calm: Expected, *, exact: bool) -> Violations:
        """What is recorded of each sensor is what the log says, and what the calm run left."""
        self.counts["recorded sensors"] = len(expected.recorded)
        kept_from = {} if exact else expected.kept_from
        left, stormed = (
            recorded_of(
                read_settled(self.cluster.direct, f"{group}-sensor-state", within=120.0), kept_from
            )
            for group in (CALM, GROUP)
        )
        own = checkers.differing("recorded sensors of the calm run", calm.recorded, left)
        # With deeds the two are not alike, but each is as the definition says.
        like = stormed if any(expected.deeds.values()) else left
        return [*own, *recorded_alike(expected.recorded, like, stormed)]

    def _check_wishes(
        self, source: Sequence[Any], deeds: Sequence[Deed], expected: Expected
    ) -> Violations:
        """What was wished is heeded once, from a place that all agree on."""
        self.counts["deeds"] = len(deeds)
        if not deeds:
            return []
        stamps = {(record.partition, record.offset): record.timestamp for record in source}
        latest_ms, held = dict[str, int](), dict[str, Sequence[UUID]]()
        for (partition, sensor), document in expected.recorded.items():
            at_ms = stamps[partition, document["next_offset"] - 1]
            if at_ms >= latest_ms.get(sensor, 0):
                latest_ms[sensor] = at_ms
                held[sensor] = (document["wishes"] or {"ids": ()})["ids"]
        written = read_settled(self.cluster.direct, self.settings.topics.verdicts, within=120.0)
        return [
            *checkers.found("deeds that do not fit the log", expected.strays),
            *heeded(written, deeds, latest_ms, held),
        ]

    def _check_replays(
        self,
        source: Sequence[Any],
        ends: Mapping[int, int],
        expected: Expected,
        commits: Sequence[Commit],
    ) -> Violations:
        """The backtest agrees with the oracle, and each commit allowed the replay."""
        detector = small_detector(RECEPTIVE_FIELD)
        logs = logs_of(source, ends, detector, self.settings, expected.verdicts)
        backtest = backtested(logs, expected.deeds)
        return [
            *checkers.differing("readings of the backtest", expected.denoised, backtest.denoised),
            *checkers.differing("incidents of the backtest", expected.events, backtest.events),
            *(
                violation
                for log in logs
                for violation in restorable(log, commits, expected.verdicts)
            ),
        ]

    def _check_transactions(
        self, commits: Sequence[Commit], whole: Outcome, expected: Expected, *, exact: bool
    ) -> Violations:
        """No transaction came in pieces, and none is left."""
        topics = self.settings.topics
        outputs = (*outputs_of(topics), topics.sensor_state)
        left = remainder(
            self.cluster.direct, (topics.readings, *outputs), within_s=_CLOSED_WITHIN_S
        )
        violations = checkers.closed(left.unfinished, left.stable, left.ends, left.held)
        if exact:
            known = decided(self.cluster.direct)
            violations += checkers.whole(
                commits,
                writers_of_commits(self.cluster.log, known),
                published(self.cluster.log, known, whole, topics, expected.causes),
            )
        return violations

    def _check_reader(self, *, exact: bool) -> Violations:
        topics = self.settings.topics
        final, aborted = {}, []
        for topic in outputs_of(topics):
            for record in read_settled(self.cluster.direct, topic, within=120.0):
                final[topic, record.partition, record.offset] = digest(record)
            fates = topic_fates(self.cluster.log, topic)
            aborted += [(topic, *at) for at, fate in fates.items() if fate is Fate.ABORTED]
        self.counts["aborted records"] = len(aborted)
        on_disk = {
            (topic, *at)
            for topic in outputs_of(topics)
            for at, fate in topic_fates(self.cluster.log, topic).items()
            if fate is (Fate.COMMITTED if exact else Fate.PLAIN)
        }
        until_s = time.monotonic() + 30.0
        while len(self.reader.seen) < len(final) and time.monotonic() < until_s:
            time.sleep(0.1)
        return [
            *checkers.seen_live(list(self.reader.seen), final, aborted),
            *checkers.found(
                "records that the client and the files disagree about",
                sorted(on_disk.symmetric_difference(final)),
            ),
        ]
