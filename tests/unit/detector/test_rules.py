"""Rules beside the model, as somebody of the plant would wish them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.rules import HELD, MOST_RULES, RAISED, Rule, Rules
from tests.support.rules_twin import Row, judge_row

CHANNELS = ("temperature", "vibration", "pressure", "humidity")
EXPECTED = np.array([80.0, 2.0, 5.0, 40.0])
BAND = np.array([1.0, 0.2, 0.5, 3.0])
NONE = 0
NAN = float("nan")


def place(*names):
    return tuple(CHANNELS.index(name) for name in names)


def rule(*channels, name="rule", **said):
    for key in ("all_of", "any_of"):
        if key in said:
            said[key] = place(*said[key])
    return Rule(name=name, sensors=("*",), channels=place(*channels), **said)


def row(**deviations):
    """A row that deviates so; each channel's part goes with the square of it in bands."""
    parts = {"share": None} | deviations
    share = parts.pop("share")
    deviation = np.array([parts.get(name, 0.0) for name in CHANNELS])
    if share is None:
        squares = np.nan_to_num((deviation / BAND) ** 2, nan=1.0)
        share = squares / squares.sum()
    else:
        share = np.array([share.get(name, 0.0) for name in CHANNELS])
    return EXPECTED + deviation, share


def judge(rules, *rows):
    observed = np.array([values for values, _ in rows])
    share = np.array([part for _, part in rows])
    own = Rules(rules).for_sensor("pump-1")
    assert own is not None
    expected = np.broadcast_to(EXPECTED, observed.shape)
    return own.judge(observed, expected, BAND, share)


SMALL = rule("temperature", least_deviation=2.0)
SHARE = rule("pressure", least_share=0.2)
HIGH = rule("temperature", direction="high")
HOT = rule("temperature", above=95.0, below=20.0)
DAMP = rule("humidity", never_alone=True)
BOTH = rule(*CHANNELS, all_of=["temperature", "vibration"])
EITHER = rule(*CHANNELS, any_of=["temperature", "vibration"])


@pytest.mark.parametrize(
    ("wish", "rules", "seen", "ruling"),
    [
        ("a degree does not matter", [SMALL], row(temperature=1.5), HELD),
        ("two do", [SMALL], row(temperature=2.0), NONE),
        ("on either side", [SMALL], row(temperature=-2.5), NONE),
        ("nor does an odd pattern", [SMALL], row(temperature=0.3, share={"temperature": 1}), HELD),
        ("of other channels I said nothing", [SMALL], row(vibration=0.9), NONE),
        ("nor when both deviate", [SMALL], row(temperature=1.5, vibration=0.9), NONE),
        (
            "small parts of others are smear",
            [SMALL],
            row(temperature=1.9, share={"temperature": 0.8, "vibration": 0.2}),
            HELD,
        ),
        (
            "but not outside of their band",
            [SMALL],
            row(temperature=1.9, vibration=0.3, share={"temperature": 0.8, "vibration": 0.2}),
            NONE,
        ),
        (
            "unless they have no part in it",
            [SMALL],
            row(temperature=1.9, vibration=0.3, share={"temperature": 0.95, "vibration": 0.05}),
            HELD,
        ),
        ("less than a fifth does not matter", [SHARE], row(pressure=0.9), HELD),
        ("a fifth does", [SHARE], row(pressure=-1.0), NONE),
        ("only hot matters", [HIGH], row(temperature=-9.0), HELD),
        ("and hot does", [HIGH], row(temperature=9.0), NONE),
        (
            "a little warm within the band is neither",
            [HIGH],
            row(temperature=0.9, share={"temperature": 1}),
            HELD,
        ),
        (
            "hot by less than the band, if I say how much",
            [rule("temperature", direction="high", least_deviation=0.5)],
            row(temperature=0.9),
            NONE,
        ),
        ("above 95 always", [HOT], row(temperature=15.1), RAISED),
        ("at 95 the model decides", [HOT], row(temperature=15.0), NONE),
        ("below 20 always", [HOT], row(temperature=-60.5), RAISED),
        ("a limit beats the rest", [HOT, HIGH], row(temperature=-60.5), RAISED),
        ("humidity never alone", [DAMP], row(humidity=20), HELD),
        ("but with another", [DAMP], row(humidity=20, pressure=3), NONE),
        ("which has to matter itself", [DAMP, SMALL], row(humidity=9, temperature=1.9), HELD),
        ("hot alone is nothing", [BOTH], row(temperature=9), HELD),
        ("nor shaking alone", [BOTH], row(vibration=0.9), HELD),
        ("both are", [BOTH], row(temperature=9, vibration=1.8), NONE),
        ("pressure without either is nothing", [EITHER], row(pressure=3), HELD),
        ("with one it is", [EITHER], row(pressure=3, vibration=0.9), NONE),
        ("a dark channel is a fault of its own", [SMALL], row(temperature=NAN), NONE),
        ("for never_alone too", [DAMP], row(humidity=NAN), NONE),
        ("a dark channel may have deviated", [BOTH], row(temperature=9, vibration=NAN), NONE),
        ("and may be the one of two", [EITHER], row(pressure=3, vibration=NAN), NONE),
        ("a dark channel is beyond no limit", [HOT], row(temperature=NAN), NONE),
        ("nothing carries, nothing is held back", [SMALL], row(share={}), NONE),
        (
            "nor is a row without parts",
            [SMALL],
            row(share=dict.fromkeys(CHANNELS, NAN)),
            NONE,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wish_is_heeded(wish, rules, seen, ruling):
    assert judge(rules, seen).ruling.tolist() == [ruling], wish


def test_the_rules_that_did_it_are_named_in_order():
    rules = [SMALL, HOT, DAMP, rule("pressure", name="last", never_alone=True)]
    found = judge(
        rules,
        row(temperature=1.5),
        row(temperature=1.5, humidity=9),
        row(temperature=20),
        row(vibration=9),
    )

    assert found.ruling.tolist() == [HELD, HELD, RAISED, NONE]
    assert found.by.tolist() == [0b1, 0b101, 0b10, 0]
    assert Rules(rules).named(0b1001) == ["rule", "last"]


def test_rows_of_several_sensors_may_have_a_band_each():
    observed, share = (np.stack(two) for two in zip(*[row(temperature=1.5)] * 2, strict=True))
    bands = np.stack([BAND, 2 * BAND])
    own = Rules([HIGH]).for_sensor("any")
    assert own is not None

    found = own.judge(observed, np.stack([EXPECTED] * 2), bands, share)

    assert found.ruling.tolist() == [NONE, HELD]


def test_a_sensor_without_rules_has_nothing_to_pay():
    rules = Rules([Rule(name="a", sensors=("pump-*", "fan[1]"), channels=(0,), above=1.0)])

    assert rules.for_sensor("valve-1") is None
    assert rules.for_sensor("Pump-1") is None
    assert rules.for_sensor("fan[1]") is rules.for_sensor("pump-7") is not None
    assert Rules([]).for_sensor("pump-1") is None


def test_rules_travel_to_another_process():
    copy = pickle.loads(pickle.dumps(Rules([HOT])))

    own = copy.for_sensor("any")
    assert own.judge(EXPECTED[None] + 90, EXPECTED[None], BAND, BAND[None]).ruling == [RAISED]


def test_the_last_rule_has_a_bit_of_its_own():
    rules = [rule("pressure", above=1000.0)] * (MOST_RULES - 1) + [HOT]

    assert judge(rules, row(temperature=20)).by.tolist() == [1 << (MOST_RULES - 1)]
    with pytest.raises(ValueError, match="at most 63 rules, got 64"):
        Rules([HOT] * 64)


VALUES = st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, 2.5, -4.0, 1e150, NAN, float("inf")])
PARTS = st.sampled_from([0.0, 0.05, 0.1, 0.5, 1.0, NAN])
PLACES = st.sets(st.integers(0, 2)).map(lambda found: tuple(sorted(found)))
LEAST = st.sampled_from([0.0, 1.0, 2.0])
RULES = st.builds(
    Rule,
    name=st.just("r"),
    sensors=st.just(("*",)),
    channels=PLACES.filter(bool),
    least_deviation=LEAST,
    least_share=LEAST,
    direction=st.sampled_from(["high", "low", "any"]),
    above=st.sampled_from([float("inf"), 2.0]),
    below=st.sampled_from([float("-inf"), -1.0]),
    never_alone=st.booleans(),
    all_of=PLACES,
    any_of=PLACES,
)


@given(
    rules=st.lists(RULES, min_size=1, max_size=3),
    rows=st.lists(
        st.tuples(*(st.tuples(kind, kind, kind) for kind in (VALUES, VALUES, PARTS))), max_size=8
    ),
    data=st.data(),
)
@settings(max_examples=300)
def test_all_rows_at_once_are_judged_as_one_by_one(rules, rows, data):
    band = [1.0, 0.5, 2.0]
    own = Rules(rules).for_sensor("x")
    assert own is not None
    arrays = [np.array([r[i] for r in rows]).reshape(-1, 3) for i in range(3)]
    cut = data.draw(st.integers(0, len(rows)))

    parts = [
        own.judge(arrays[0][piece], arrays[1][piece], np.array(band), arrays[2][piece])
        for piece in (slice(cut), slice(cut, None))
    ]

    found = [
        (int(ruling), {i for i in range(3) if by >> i & 1})
        for part in parts
        for ruling, by in zip(part.ruling, part.by.tolist(), strict=True)
    ]
    assert found == [judge_row(list(enumerate(rules)), Row(r[0], r[1], band, r[2])) for r in rows]
