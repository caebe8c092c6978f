"""The channels that a decoder looks for, and what they are called on the wire."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from schemas.wire.errors import ChannelMismatchError
from schemas.wire.limits import MAX_CHANNELS


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelMap:
    """Model channels in model order and their names on the wire.

    Attributes:
        names: model channels.
        wire: the name of each on the wire, same order.
    """

    names: tuple[str, ...]
    wire: tuple[str, ...]

    @classmethod
    def of(cls, channels: Sequence[str], wire_names: Mapping[str, str]) -> ChannelMap:
        """Map each channel to its wire name, or to its own name if it has none.

        Without a channel only sensors and times are read.

        Raises:
            ValueError: too many, one twice, or two channels with one wire name.
        """
        names = tuple(channels)
        if len(names) > MAX_CHANNELS:
            raise ValueError(f"a decoder takes 0..{MAX_CHANNELS} channels, got {len(names)}")
        if len(set(names)) < len(names):
            raise ValueError(f"channels must differ from each other, got {', '.join(names)}")
        unknown = sorted(set(wire_names) - set(names))
        if unknown:
            raise ValueError(
                f"wire names are given for {', '.join(unknown)}, which the model does not have;"
                f" its channels are {', '.join(names)}"
            )
        wire = tuple(wire_names.get(name, name) for name in names)
        if len(set(wire)) < len(wire):
            raise ValueError(f"two channels would read the same wire name: {', '.join(wire)}")
        return cls(names=names, wire=wire)

    def __len__(self) -> int:
        """Number of channels, C."""
        return len(self.names)

    def picker(self) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
        """Function that reads the channels of one `values` object, in model order, in C speed."""
        if not self.wire:
            return lambda _: ()
        if len(self.wire) == 1:
            (only,) = self.wire
            return lambda values: (values[only],)
        return itemgetter(*self.wire)

    def require(self, present: Mapping[str, Any]) -> None:
        """Check that every channel is there; what else is there is ignored.

        Raises:
            ChannelMismatchError: names what is missing and what was found.
        """
        absent = [wire for wire in self.wire if wire not in present]
        if absent:
            raise self.lacking(absent, present)

    def lacking(self, absent: Collection[str], present: Mapping[str, Any]) -> ChannelMismatchError:
        """The error that names some wire names that are not there, and what is."""
        missing = [
            name if name == wire else f"{name} (on the wire: {wire})"
            for name, wire in zip(self.names, self.wire, strict=True)
            if wire in absent
        ]
        found = ", ".join(list(present)[:20]) or "none"
        return ChannelMismatchError(
            f"missing channel {', '.join(missing[:20])}; the record has: {found}"
        )
