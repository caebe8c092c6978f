"""All that a simulated run depends on, drawn by hypothesis or by a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property

from hypothesis import strategies as st

from tests.deterministic.checker import check_at_least_once, check_exactly_once
from tests.deterministic.readings import Expected, undisturbed, world_of
from tests.deterministic.world import BYTES_AN_EVENT, World
from tests.support.logs import BYTES_A_RECORD, Rules, noise

MOST_RECORDS = 40
MOST_EVENTS = 70
POLLS = (1, 2, 3, 5, 8, 40)
"""Records a poll; small ones keep units of work open while the world changes."""


@dataclass(frozen=True)
class Schedule:
    """A log for each partition, the rules, the workers, and what happens to them."""

    logs: list[bytes]
    rules: Rules
    workers: int
    poll: int
    in_flight: int
    script: bytes

    @classmethod
    def of_seed(cls, seed: int) -> Schedule:
        rng, of_warm_up = random.Random(seed), random.Random(-seed - 1)
        return cls(
            logs=[
                rng.randbytes(BYTES_A_RECORD * rng.randint(1, MOST_RECORDS))
                for _ in range(rng.randint(1, 3))
            ],
            rules=Rules(
                receptive_field=rng.randint(1, 4),
                max_records=rng.randint(2, 40),
                max_age_ms=rng.choice([10**9, rng.randint(2, 60)]),
                warm_up=of_warm_up.randint(1, 4),
            ),
            workers=rng.randint(1, 3),
            poll=rng.choice(POLLS),
            in_flight=rng.randint(1, 4),
            script=rng.randbytes(BYTES_AN_EVENT * rng.randint(10, MOST_EVENTS)),
        )

    @cached_property
    def expected(self) -> Expected:
        return undisturbed(world_of(self.logs), self.rules)

    def run_exactly_once(self) -> World:
        """Play it, finish, and check."""
        world = self._run(exactly_once=True)
        check_exactly_once(world.broker, self.expected)
        return world

    def run_at_least_once(self) -> World:
        """The same without transactions."""
        world = self._run(exactly_once=False)
        check_at_least_once(world.broker, self.expected)
        return world

    def _run(self, *, exactly_once: bool) -> World:
        world = World(
            world_of(self.logs),
            self.rules,
            workers=self.workers,
            poll=self.poll,
            in_flight=self.in_flight,
            exactly_once=exactly_once,
        )
        world.play(self.script)
        world.finish()
        return world


SCHEDULES = st.builds(
    Schedule,
    logs=st.lists(noise(MOST_RECORDS), min_size=1, max_size=3),
    rules=st.builds(
        Rules,
        receptive_field=st.integers(1, 4),
        max_records=st.integers(2, 40),
        max_age_ms=st.one_of(st.just(10**9), st.integers(2, 60)),
        warm_up=st.integers(1, 4),
    ),
    workers=st.integers(1, 3),
    poll=st.sampled_from(POLLS),
    in_flight=st.integers(1, 4),
    script=st.integers(0, MOST_EVENTS).flatmap(
        lambda events: st.binary(min_size=events * BYTES_AN_EVENT, max_size=events * BYTES_AN_EVENT)
    ),
)
