"""`[[rules]]`: what people know beside the model, by sensor and channel.

What a rule does to a reading is `detector.rules`; here stands what may be said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Final, Literal, Protocol, Self, TypeVar

from pydantic import AfterValidator, Field, model_validator

from schemas.settings.section import Section
from schemas.wire.limits import MAX_NAME_CHARS

MAX_RULES: Final = 63
"""Most rules; the rules that spoke of a reading are bits of one number."""
MAX_PATTERNS: Final = 256

Pattern = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS)]
"""A name, or a shell pattern such as pump-*: * is any text, ? a letter, [ab] one of them."""
Patterns = Pattern | Annotated[list[Pattern], Field(min_length=1, max_length=MAX_PATTERNS)]
RuleName = Annotated[str, Field(min_length=1, max_length=100)]
Least = Annotated[float, Field(gt=0, le=1e9)]


def patterns_of(given: str | Sequence[str]) -> tuple[str, ...]:
    """The patterns of a key that takes one or several."""
    return (given,) if isinstance(given, str) else tuple(given)


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_T = TypeVar("_T", bound=_Named)


def unique_names(entries: tuple[_T, ...]) -> tuple[_T, ...]:
    """The entries, if no two have one name.

    Raises:
        ValueError: they do; says which.
    """
    twice = [name for name, times in Counter(entry.name for entry in entries).items() if times > 1]
    if twice:
        raise ValueError(f"two entries are called {', '.join(twice)}: give each a name of its own")
    return entries


class RuleSettings(Section):
    """One rule: of which channels, and what about them matters.

    What it says of one channel adds up: an alarm counts when everything is met.
    """

    name: RuleName
    """What an incident calls the rule that held it back or raised it."""
    sensors: Patterns = "*"
    """Sensors that it is about, by pattern."""
    channels: Patterns = "*"
    """Channels that it is about, by pattern."""
    least_deviation: Least | None = None
    """Least difference from the expected value that matters, in the channel's unit."""
    least_share: Least | None = None
    """The same as a share of the expected value's size: 0.1 is a tenth."""
    direction: Literal["high", "low", "any"] = "any"
    """The side that matters: above the expected value, below it, or both."""
    above: float | None = None
    """A value above this is an alarm, whatever the model says."""
    below: float | None = None
    """A value below this is an alarm, whatever the model says."""
    never_alone: bool = False
    """These channels alarm only together with others."""
    all_of: Annotated[list[Pattern], Field(max_length=MAX_PATTERNS)] = Field(default_factory=list)
    """An alarm of the rule's channels counts only while all of these deviate."""
    any_of: Annotated[list[Pattern], Field(max_length=MAX_PATTERNS)] = Field(default_factory=list)
    """An alarm of the rule's channels counts only while one of these deviates."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        conditions = {
            "least_deviation": self.least_deviation is not None,
            "least_share": self.least_share is not None,
            "direction": self.direction != "any",
            "all_of": bool(self.all_of),
            "any_of": bool(self.any_of),
        }
        said = [name for name, is_said in conditions.items() if is_said]
        limits = self.above is not None or self.below is not None
        if not (said or limits or self.never_alone):
            raise ValueError(
                "says nothing: give it least_deviation, least_share, direction,"
                " above, below, never_alone, all_of or any_of, or remove it"
            )
        if self.never_alone and said:
            raise ValueError(
                f"never_alone already holds back what {said[0]} would: make two rules of it, or"
                " leave one of them out"
            )
        if self.above is not None and self.below is not None and self.below >= self.above:
            raise ValueError(
                f"every value is below {self.below:g} or above {self.above:g}: below must be the"
                " smaller one"
            )
        return self


Rules = Annotated[
    tuple[RuleSettings, ...], Field(max_length=MAX_RULES), AfterValidator(unique_names)
]
