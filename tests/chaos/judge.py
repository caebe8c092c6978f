"""What a run is judged by: everything read back, against the log, the calm run, the backtest."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.settings import Guarantee, Settings
from tests.chaos import checkers, oracle
from tests.chaos.checkers import Violations
from tests.chaos.cluster import Cluster
from tests.chaos.commits import Commit, read_commits
from tests.chaos.outcome import Outcome, outcome_of, without_repeats
from tests.chaos.reader import LiveReader, digest
from tests.chaos.recorded import expected_recorded, recorded_alike, recorded_of
from tests.chaos.reference import Expected, decoded, expected_of, rules_of
from tests.chaos.replays import backtested, logs_of, restorable
from tests.chaos.segments import Fate, topic_fates
from tests.chaos.transactions import decided, published, remainder, writers_of_commits
from tests.support.broker import read_settled
from tests.support.models import small_detector
from workers.kafka.factory import admin_of

RECEPTIVE_FIELD: Final = 16
GROUP: Final = "chaos"
_CLOSED_WITHIN_S: Final = 30.0  # longer than the broker lets a transaction be open


def outcome(cluster: Cluster, settings: Settings) -> Outcome:
    """What was published under these settings."""
    topics = settings.topics
    return outcome_of(
        topics,
        (
            record
            for topic in (topics.denoised, topics.anomalies, topics.dead_letters)
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
        counts: what was compared, for the report.
    """

    cluster: Cluster
    settings: Settings
    guarantee: Guarantee
    reader: LiveReader
    partitions: int
    counts: dict[str, int] = field(default_factory=dict)

    def check(self, undisturbed: Outcome, counted: Mapping[str, int]) -> Violations:
        """Read everything back, and compare."""
        direct, topics = self.cluster.direct, self.settings.topics
        source = read_settled(direct, topics.readings, within=120.0)
        bounds = admin_of(direct).topic_bounds({topics.readings: self.partitions})
        ends = {partition: end for (_, partition), (_, end) in bounds.items()}
        expected = expected_of(source, ends, small_detector(RECEPTIVE_FIELD), self.settings)
        whole = outcome(self.cluster, self.settings)
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
            "late requests": self.cluster.proxy.late_requests,
        }
        return [
            *checkers.accounted(expected.verdicts, seen),
            *checkers.unique(seen, topics.readings),
            *checkers.ordered(seen),
            *checkers.equal(expected, seen),
            *checkers.same(undisturbed, seen),
            *self._check_recorded(source, expected),
            *checkers.counted(counted, expected),
            *checkers.committed(commits, ends),
            *self._check_replays(source, ends, expected, commits),
            *self._check_reader(exact=exact),
            *self._check_transactions(commits, whole, exact=exact),
        ]

    def _check_recorded(self, source: Sequence[Any], expected: Expected) -> Violations:
        """The counts of each sensor are what the log says, and those of the calm run."""
        logs: dict[int, list[oracle.Record]] = {partition: [] for partition in expected.ends}
        detector = small_detector(RECEPTIVE_FIELD)
        for partition, record in decoded(source, detector, self.settings):
            logs[partition].append(record)
        rules = rules_of(detector, self.settings)
        wanted = expected_recorded(logs, expected.verdicts, expected.flagged, rules)
        self.counts["recorded sensors"] = len(wanted)
        calm, stormed = (
            recorded_of(read_settled(self.cluster.direct, f"{group}-sensor-state", within=120.0))
            for group in ("calm", GROUP)
        )
        return recorded_alike(wanted, calm, stormed)

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
        backtest = {reading.place: reading for log in logs for reading in backtested(log)}
        return [
            *checkers.differing("readings of the backtest", expected.denoised, backtest),
            *(
                violation
                for log in logs
                for violation in restorable(log, commits, expected.verdicts)
            ),
        ]

    def _check_transactions(
        self, commits: Sequence[Commit], whole: Outcome, *, exact: bool
    ) -> Violations:
        """No transaction came in pieces, and none is left."""
        topics = self.settings.topics
        outputs = (topics.denoised, topics.anomalies, topics.dead_letters, topics.sensor_state)
        left = remainder(
            self.cluster.direct, (topics.readings, *outputs), within_s=_CLOSED_WITHIN_S
        )
        violations = checkers.closed(left.unfinished, left.stable, left.ends, left.held)
        if exact:
            known = decided(self.cluster.direct)
            violations += checkers.whole(
                commits,
                writers_of_commits(self.cluster.log, known),
                published(self.cluster.log, known, whole, topics),
            )
        return violations

    def _check_reader(self, *, exact: bool) -> Violations:
        topics = self.settings.topics
        final, aborted = {}, []
        for topic in (topics.denoised, topics.anomalies, topics.dead_letters):
            for record in read_settled(self.cluster.direct, topic, within=120.0):
                final[topic, record.partition, record.offset] = digest(record)
            fates = topic_fates(self.cluster.log, topic)
            aborted += [(topic, *at) for at, fate in fates.items() if fate is Fate.ABORTED]
        self.counts["aborted records"] = len(aborted)
        on_disk = {
            (topic, *at)
            for topic in (topics.denoised, topics.anomalies, topics.dead_letters)
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
