"""Notifications of groups."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.api.subscriptions import EventType, Grouping
from tests.support.alert_specs import examples
from tests.support.notifications import incident_event
from workers.alerts.event import AlertEvent
from workers.alerts.groups import Flush, GroupState, Stage, flush, group_key, with_event

S = 10**9
GROUPING = Grouping(by=("site",), wait_s=30, interval_s=300, repeat_s=3600)


def event(incident, what, number=0):
    document = incident_event(what, id_=incident)
    return AlertEvent.of({**document, "id": f"{incident}-{what}-{number}"})


def after(state, *steps, grouping=GROUPING, **options):
    """The state behind events and flushes, and the flushes: steps are (second, incident, what)."""
    told = []
    for at_s, *step in steps:
        if step:
            state = with_event(state, event(*step), at_s * S, grouping, **options)
        else:
            state, found = flush(state, at_s * S, grouping)
            told.append(found)
    return state, told


def test_the_first_news_waits_for_others():
    state, told = after(GroupState(), (0, "a", "opened"), (20, "b", "opened"), (29,), (30,))

    assert told[0] is None
    assert told[1] == Flush(
        number=1,
        events=("a-opened-0", "b-opened-0"),
        standing=(),
        is_repeat=False,
        dropped=0,
    )
    assert state.number == 1
    assert state.told_ns == 30 * S


def test_a_notification_with_news_follows_the_last_one_after_the_interval():
    state, told = after(
        GroupState(), (0, "a", "opened"), (30,), (40, "b", "opened"), (329,), (330,)
    )

    assert told[1] is None
    assert told[2].events == ("b-opened-0",)
    assert told[2].standing == ("a-opened-0",)
    assert told[2].number == 2
    assert state.members["b"].stage is Stage.TOLD


def test_news_long_after_the_last_notification_wait_for_others_too():
    state, _ = after(GroupState(), (0, "a", "opened"), (30,), (1000, "b", "opened"))

    assert state.due_ns == 1030 * S


def test_what_goes_on_is_told_again_after_the_repeat_interval():
    state, told = after(GroupState(), (0, "a", "opened"), (30,), (3629,), (3630,))

    assert told[1] is None
    assert told[2] == Flush(
        number=2, events=("a-opened-0",), standing=(), is_repeat=True, dropped=0
    )
    assert state.due_ns == 7230 * S


def test_news_put_a_repeat_off():
    state, told = after(GroupState(), (0, "a", "opened"), (30,), (3600, "b", "opened"), (3630,))

    assert not told[1].is_repeat
    assert state.due_ns == (3630 + 3600) * S


def test_nothing_repeats_if_that_is_not_wanted():
    grouping = GROUPING.model_copy(update={"repeat_s": 0.0})

    state, _ = after(GroupState(), (0, "a", "opened"), (30,), grouping=grouping)

    assert state.due_ns is None
    assert not state.is_over


def test_what_is_acknowledged_does_not_repeat():
    state, _ = after(GroupState(), (0, "a", "opened"), (30,), (40, "a", "acknowledged"))
    assert state.due_ns is None

    state, told = after(state, (50, "a", "unacknowledged"), (3630,))
    assert told[0].events == ("a-opened-0",)


def test_a_repeat_names_what_nobody_acknowledged_and_what_stands_beside():
    _, told = after(
        GroupState(),
        (0, "a", "opened"),
        (0, "b", "opened"),
        (30,),
        (40, "a", "acknowledged"),
        (3630,),
    )

    assert told[1].is_repeat
    assert told[1].events == ("b-opened-0",)
    assert told[1].standing == ("a-opened-0",)


def test_the_end_of_what_was_told_is_told_and_it_leaves():
    state, told = after(GroupState(), (0, "a", "opened"), (30,), (60, "a", "resolved"), (330,))

    assert told[1].events == ("a-resolved-0",)
    assert state.members == {}


def test_a_group_that_is_empty_stays_until_another_may_follow():
    state, _ = after(GroupState(), (0, "a", "opened"), (30,), (60, "a", "resolved"), (330,))
    assert not state.is_over

    over, told = after(state, (629,), (630,))
    assert told == [None, None]
    assert over.is_over

    again, _ = after(state, (340, "b", "opened"))
    assert again.due_ns == 630 * S
    assert again.number == 2


def test_what_opened_and_resolved_before_it_was_told_is_dropped_and_counted():
    state, told = after(
        GroupState(), (0, "a", "opened"), (1, "b", "opened"), (2, "a", "resolved"), (30,)
    )

    assert told[0].events == ("b-opened-0",)
    assert told[0].dropped == 1
    assert state.dropped == 0


def test_a_group_that_was_never_told_is_over_with_its_last_incident():
    state, _ = after(GroupState(), (0, "a", "opened"), (2, "a", "resolved"))

    assert state.is_over
    assert state.dropped == 1


def test_the_wait_begins_anew_when_nothing_is_left_to_tell():
    state, _ = after(GroupState(), (0, "a", "opened"), (20, "a", "resolved"), (25, "b", "opened"))

    assert state.due_ns == 55 * S


def test_an_update_is_news_if_it_is_wanted():
    told_once = ((0, "a", "opened"), (30,), (40, "a", "updated"))

    state, _ = after(GroupState(), *told_once)
    assert state.members["a"].event == "a-updated-0"
    assert state.due_ns == 330 * S

    state, _ = after(GroupState(), *told_once, types=("incident.opened", "incident.resolved"))
    assert state.members["a"].event == "a-opened-0"
    assert state.due_ns == 3630 * S


def test_the_end_of_what_was_told_is_told_even_if_an_update_was_waiting():
    steps = ((0, "a", "opened"), (30,), (40, "a", "updated"), (50, "a", "resolved"), (330,))
    _, told = after(GroupState(), *steps)

    assert told[1].events == ("a-resolved-0",)
    assert told[1].dropped == 0


def test_an_incident_keeps_its_place_in_the_group():
    steps = ((0, "a", "opened"), (1, "b", "opened"), (2, "a", "updated"), (30,))
    _, told = after(GroupState(), *steps)

    assert told[0].events == ("a-updated-0", "b-opened-0")


def test_an_update_may_be_the_first_news_of_an_incident():
    state, _ = after(GroupState(), (0, "a", "updated"))

    assert state.members["a"].stage is Stage.NEW


def test_an_end_that_is_not_wanted_makes_the_incident_leave_untold():
    state, told = after(
        GroupState(),
        (0, "a", "opened"),
        (30,),
        (40, "a", "resolved"),
        (400,),
        types=(EventType.OPENED,),
    )

    assert told[1] is None
    assert state.is_over


def test_an_end_or_acknowledgement_of_what_is_not_known_is_nothing():
    state, _ = after(GroupState(), (0, "a", "resolved"), (0, "a", "acknowledged"))

    assert state == GroupState()


def test_an_event_about_no_incident_is_nothing():
    bare = AlertEvent.of({"id": "1", "type": "incident.opened", "source": "/v", "subject": "s"})

    assert with_event(GroupState(), bare, 0, GROUPING) == GroupState()


def test_an_event_that_comes_twice_changes_nothing():
    state, _ = after(GroupState(), (0, "a", "opened"), (30,))

    again, _ = after(state, (40, "a", "opened"))

    assert again == state


def test_what_comes_behind_the_end_is_late():
    state, _ = after(GroupState(), (0, "a", "opened"), (30,), (40, "a", "resolved"))

    late, _ = after(state, (50, "a", "updated"), (60, "a", "resolved", 2))

    assert late == state


def test_times_that_change_hold_at_once():
    state, _ = after(GroupState(), (0, "a", "opened"))
    sooner = GROUPING.model_copy(update={"wait_s": 5.0})
    later = GROUPING.model_copy(update={"wait_s": 90.0})

    assert flush(state, 10 * S, sooner)[1] is not None
    put_off, told = flush(state, 30 * S, later)
    assert told is None
    assert put_off.due_ns == 90 * S


def test_the_key_of_a_group_is_the_same_for_the_same_labels():
    by_two = Grouping(by=("site", "line"))
    key, labels = group_key(by_two, {"site": "lyon", "line": "1", "other": "x"})

    assert labels == {"site": "lyon", "line": "1"}
    assert key == "69007c87388efd6144d2cb82d70d9874961002b0aed9cdbad20e8fec3df1886d"
    assert group_key(Grouping(by=("line", "site", "line")), {"line": "1", "site": "lyon"}) == (
        key,
        labels,
    )


@pytest.mark.parametrize(
    "other",
    [{"site": "lyon"}, {"site": "lyon", "line": "2"}, {"site": "1", "line": "lyon"}, {}],
)
def test_other_labels_are_another_group(other):
    by_two = Grouping(by=("site", "line"))

    assert group_key(by_two, other)[0] != group_key(by_two, {"site": "lyon", "line": "1"})[0]


def test_a_label_that_is_missing_is_left_out_and_equals_the_empty_text():
    assert group_key(GROUPING, {}) == group_key(GROUPING, {"site": ""})
    assert group_key(GROUPING, {})[1] == {}


STEPS = st.lists(
    st.tuples(
        st.integers(0, 400),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(
            ["opened", "updated", "resolved", "resolved", "acknowledged", "unacknowledged"]
        ),
    ),
    min_size=8,
    max_size=40,
)
GROUPINGS = st.builds(
    Grouping,
    by=st.just(()),
    wait_s=st.sampled_from([0, 30, 500]),
    interval_s=st.sampled_from([0, 60, 300]),
    repeat_s=st.sampled_from([0, 10, 900]),
)


class Life:
    """A group that is flushed as soon as it is due, written and read, and forgotten when over."""

    def __init__(self, grouping):
        self.grouping = grouping
        self.state = GroupState()
        self.log = []
        self.told = []
        self.forgotten_dropped = 0

    def until(self, now_s):
        while self.state.due_ns is not None and self.state.due_ns <= now_s * S:
            due_s = max(self.state.due_ns // S, self.log[-1][0])
            state, found = flush(self.state, due_s * S, self.grouping)
            self.told += [(due_s, found)] if found else []
            self._keep(state)

    def add(self, now_s, one):
        self.log.append((now_s, one))
        self._keep(with_event(self.state, one, now_s * S, self.grouping))

    def _keep(self, state):
        if state.is_over:
            self.forgotten_dropped += state.dropped
            state = GroupState()
        self.state = GroupState.from_json(state.to_json())


def run(steps, grouping):
    """The life of a group whose incidents open, go on and end, each name one behind the other."""
    life, now_s = Life(grouping), 0
    lives: Counter[str] = Counter()
    alive: set[str] = set()
    for number, (pause_s, name, what) in enumerate(steps):
        now_s += pause_s
        life.until(now_s)
        if (what == "opened") is (name in alive):
            continue
        if what == "opened":
            lives[name] += 1
            alive.add(name)
        elif what == "resolved":
            alive.remove(name)
        life.add(now_s, event(f"{name}{lives[name]}", what, number))
    life.until(now_s + grouping.wait_s + 2 * grouping.interval_s + 1)
    return life


@examples(80)
@given(STEPS, GROUPINGS)
def test_what_was_told_to_go_on_is_told_to_end_exactly_once(steps, grouping):
    life = run(steps, grouping)
    log, told, state = life.log, life.told, life.state

    incident_of = {one.id: one.incident_id for _, one in log}
    ended = {one.incident_id for _, one in log if one.type == EventType.RESOLVED}
    history: dict[str | None, list[bool]] = {}
    for _, found in told:
        for id_ in found.events:
            history.setdefault(incident_of[id_], []).append("resolved" in id_)
    for incident, ends in history.items():
        assert ends[0] is False, "an end was told of what was never told to go on"
        assert sum(ends) == (incident in ended)
        assert ends[-1] is (incident in ended), "something was told behind the end"
    assert not ended & set(state.members)


@examples(80)
@given(STEPS, GROUPINGS)
def test_no_two_notifications_are_within_the_interval_and_their_numbers_count_on(steps, grouping):
    told = run(steps, grouping).told

    times = [at_s for at_s, _ in told]
    assert all(later - earlier >= grouping.interval_s for earlier, later in pairwise(times))
    numbers = [found.number for _, found in told]
    # A group that was forgotten counts anew.
    assert numbers[:1] in ([], [1])
    assert all(later in {earlier + 1, 1} for earlier, later in pairwise(numbers))


@examples(80)
@given(STEPS, GROUPINGS)
def test_what_goes_on_is_told_within_the_wait_and_the_interval(steps, grouping):
    life = run(steps, grouping)
    log, told = life.log, life.told

    ends = {one.incident_id: at_s for at_s, one in log if one.type == EventType.RESOLVED}
    first_told: dict[str | None, int] = {}
    for at_s, found in told:
        for id_ in found.events:
            first_told.setdefault(id_.split("-")[0], at_s)
    limit_s = grouping.wait_s + grouping.interval_s
    for at_s, one in log:
        if one.type == EventType.OPENED:
            lasted = ends.get(one.incident_id, 10**9) - at_s
            if lasted > limit_s:
                assert first_told[one.incident_id] - at_s <= limit_s
            assert one.incident_id in first_told or lasted <= limit_s


@examples(80)
@given(STEPS, GROUPINGS)
def test_every_incident_is_told_or_counted(steps, grouping):
    life = run(steps, grouping)
    log, told, state = life.log, life.told, life.state

    opened = {one.incident_id for _, one in log if one.type == EventType.OPENED}
    heard = {id_.split("-")[0] for _, found in told for id_ in found.events}
    dropped = sum(found.dropped for _, found in told) + state.dropped + life.forgotten_dropped
    assert len(opened) == len(heard) + dropped


@examples(80)
@given(STEPS, GROUPINGS)
def test_a_notification_names_all_that_goes_on_once(steps, grouping):
    life = run(steps, grouping)
    log, told = life.log, life.told

    by_id = {one.id: one for _, one in log}
    for at_s, found in told:
        named = [by_id[id_] for id_ in (*found.events, *found.standing)]
        assert len({one.incident_id for one in named}) == len(named)
        on = {}
        for event_s, one in log:
            if event_s <= at_s and one.type in {EventType.OPENED, EventType.RESOLVED}:
                on[one.incident_id] = one.type == EventType.OPENED
        still = {id_ for id_, goes_on in on.items() if goes_on}
        told_to_go_on = {one.incident_id for one in named if one.type != EventType.RESOLVED}
        # At the second of a notification, events may have come behind it.
        same_second = {one.incident_id for event_s, one in log if event_s == at_s}
        assert told_to_go_on - same_second == still - same_second


@examples(60)
@given(STEPS, GROUPINGS)
def test_a_state_survives_its_json(steps, grouping):
    state = run(steps, grouping).state

    assert GroupState.from_json(state.to_json()) == state
    assert json.loads(state.to_json())["number"] == state.number


def test_a_state_is_never_changed():
    state, _ = after(GroupState(), (0, "a", "opened"), (30,))
    before = replace(state, members=dict(state.members))

    after(state, (40, "b", "opened"), (50, "a", "resolved"), (400,))

    assert state == before
