"""The alarm rule's fold does what its slow twin does, whatever the levels, rulings and dials."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.calibration import alarm_wishes as wishes
from detector.calibration.alarm_rule import Advanced, Ruling
from tests.support.alarm_rules import ONE, make_rule, random_levels, random_rulings, run
from tests.support.alarm_twin import Twin

ROWS = 2_500
DIALS = [
    {},
    {"merge_gap": 0, "closes_after": 3},
    {"accept": 0.0},
    {"accept": 0.3, "learning": 0.2},
    {"accept": 0.1, "accept_after": 60},
    {"shortest": 7, "opens_at": 3, "opens_within": 5},
    {"lowest": 0.0, "longest": 50, "accept": 0.0},
]


def assert_equal(out, slow, twin):
    np.testing.assert_allclose(out.threshold, [one[0] for one in slow], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(out.strength, [one[1] for one in slow], rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(out.alarm, [one[2] for one in slow])
    assert [(one.opened, one.first, one.last, one.fired.name.lower()) for one in out.opened] == [
        (*one[:3], one[5]) for one in twin.opened
    ]
    assert [
        (one.opened, one.first, one.last, one.ended, one.reason.name.lower().replace("_", " "))
        for one in out.ended
    ] == [(*one[:4], one[6]) for one in twin.ended]
    np.testing.assert_allclose(
        [(one.peak, one.charge) for one in out.ended] or np.empty((0, 2)),
        [one[4:6] for one in twin.ended] or np.empty((0, 2)),
        rtol=1e-9,
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), dials=st.sampled_from(DIALS), ruled=st.booleans())
def test_the_fold_equals_its_slow_twin(seed, dials, ruled):
    rng = np.random.default_rng(seed)
    levels = random_levels(rng, ROWS)
    rulings = random_rulings(rng, ROWS) if ruled else np.zeros(ROWS, np.int8)
    rule = make_rule(rate=1 / 300, memory=150.0, **dials)
    twin = Twin(rule.numbers, rule.numbers.bars(rule.rate), rule.rate, rule.dials)

    out = run(rule, levels, rulings if ruled else None)
    slow = [
        twin.step(long, short, Ruling(ruling))
        for (long, short, _), ruling in zip(levels.tolist(), rulings.tolist(), strict=True)
    ]

    assert_equal(out, slow, twin)
    assert len(out.opened) >= 1


def wish(name, rule, states, twin, before):
    """The states after a wish, the same said to the twin, and what reverts the last beginning."""
    if name == "begin anew":
        states, reference = wishes.begin_anew(states, rule, ONE)
        return states, (reference, twin.begin_anew())
    if name == "revert" and before is not None:
        twin.revert(before[1])
        states = wishes.revert(states, before[0])
    elif name == "forget":
        twin.forget()
        states = wishes.forget(states, rule, ONE)
    elif name == "forgive":
        twin.forgive(2.5)
        states = wishes.forgive(states, rule, np.array([2.5]))
    elif name == "mark fault":
        twin.mark_fault()
        states = wishes.mark_fault(states, rule)
    return states, before


WISHES = st.sampled_from(["begin anew", "revert", "forget", "forgive", "mark fault"])


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    dials=st.sampled_from(DIALS),
    ruled=st.booleans(),
    wished=st.lists(st.tuples(st.integers(0, ROWS), WISHES), max_size=20).map(sorted),
)
def test_wishes_between_rows_do_what_the_slow_twin_does(seed, dials, ruled, wished):
    rng = np.random.default_rng(seed)
    levels = random_levels(rng, ROWS)
    rulings = random_rulings(rng, ROWS) if ruled else np.zeros(ROWS, np.int8)
    rule = make_rule(rate=1 / 300, memory=150.0, **dials)
    twin = Twin(rule.numbers, rule.numbers.bars(rule.rate), rule.rate, rule.dials)

    states, before = rule.start(ONE), None
    parts, slow = [], []
    begin = 0
    for end, name in [*wished, (ROWS, "nothing")]:
        size = np.array([end - begin])
        parts.append(rule.advance(levels[begin:end], size, ONE, states, rulings[begin:end]))
        slow += [
            twin.step(long, short, Ruling(ruling))
            for (long, short, _), ruling in zip(
                levels[begin:end].tolist(), rulings[begin:end].tolist(), strict=True
            )
        ]
        states, before = wish(name, rule, parts[-1].states, twin, before)
        begin = end

    assert_equal(_joined(parts), slow, twin)


def _joined(parts):
    return Advanced(
        states=parts[-1].states,
        threshold=np.concatenate([one.threshold for one in parts]),
        strength=np.concatenate([one.strength for one in parts]),
        alarm=np.concatenate([one.alarm for one in parts]),
        opened=[incident for one in parts for incident in one.opened],
        ended=[incident for one in parts for incident in one.ended],
    )
