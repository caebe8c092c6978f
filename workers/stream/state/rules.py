"""`[[rules]]` for the channels of a model."""

from collections.abc import Sequence

from detector.globs import matches
from detector.rules import Rule, Rules
from schemas.settings.rules import RuleSettings, patterns_of


def rules_of(settings: Sequence[RuleSettings], channels: Sequence[str]) -> Rules:
    """The rules of the settings, with the places of their channels.

    Args:
        settings: at most `detector.rules.MOST_RULES`.
        channels: of the model, in order.

    Raises:
        ValueError: a pattern fits no channel, or nothing could ever alarm; names the rule, and
            says which channels there are.
    """
    return Rules([_rule(own, channels) for own in settings])


def _rule(own: RuleSettings, channels: Sequence[str]) -> Rule:
    def places(key: str, patterns: Sequence[str]) -> tuple[int, ...]:
        for pattern in patterns:
            if not any(matches(channel, [pattern]) for channel in channels):
                raise ValueError(
                    f"[[rules]] {own.name!r}: {key}: the model has no channel {pattern!r}; "
                    f"it has {', '.join(channels)}"
                )
        return tuple(i for i, channel in enumerate(channels) if matches(channel, patterns))

    own_channels = places("channels", patterns_of(own.channels))
    if own.never_alone and len(own_channels) == len(channels):
        raise ValueError(
            f"[[rules]] {own.name!r}: never_alone of all channels holds every alarm back: name the "
            f"channels that need company; the model has {', '.join(channels)}"
        )
    limits = {
        key: value
        for key in ("least_deviation", "least_share", "above", "below")
        if (value := getattr(own, key)) is not None
    }
    return Rule(
        name=own.name,
        sensors=patterns_of(own.sensors),
        channels=own_channels,
        direction=own.direction,
        never_alone=own.never_alone,
        all_of=places("all_of", own.all_of),
        any_of=places("any_of", own.any_of),
        **limits,
    )
