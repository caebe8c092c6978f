"""`[[rules]]` and the channels of a model."""

from __future__ import annotations

import pytest

from detector.rules import Rule
from schemas.settings.rules import RuleSettings
from workers.stream.state.rules import rules_of

CHANNELS = ("temp_in", "temp_out", "flow", "odd[1]")


def test_patterns_become_the_places_of_channels():
    settings = RuleSettings(
        name="a",
        sensors=["pump-*", "fan"],
        channels=["temp_*", "odd[1]"],
        least_share=0.1,
        above=90.0,
        any_of=["flow"],
    )

    (rule,) = rules_of([settings], CHANNELS)._rules

    assert rule == Rule(
        name="a",
        sensors=("pump-*", "fan"),
        channels=(0, 1, 3),
        least_share=0.1,
        above=90.0,
        any_of=(2,),
    )


@pytest.mark.parametrize(
    "said",
    [{"channels": ["temp_*", "speed"]}, {"all_of": ["flow", "speed"]}, {"any_of": ["speed"]}],
)
def test_a_channel_that_the_model_lacks_is_an_error_with_those_it_has(said):
    settings = RuleSettings(name="my rule", least_deviation=1.0, **said)

    with pytest.raises(ValueError, match="the model has no channel 'speed'; it has temp_in, ") as e:
        rules_of([settings], CHANNELS)
    assert str(e.value).startswith(f"[[rules]] 'my rule': {next(iter(said))}: ")


def test_a_rule_that_would_hold_every_alarm_back_is_an_error():
    with pytest.raises(ValueError, match="'a': never_alone of all channels holds every alarm back"):
        rules_of([RuleSettings(name="a", never_alone=True)], CHANNELS)
