"""What is noise and what of it goes: a table for people, plain values for scripts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Column, Table

from workers.cli.views.plain import PlainConsole
from workers.printable import printable

if TYPE_CHECKING:
    from workers.denoise.account import ChannelNoise, NoiseAccount, Removed

_MOST_CHANNELS = 24
_MODES = ("causal", "settled")


def noise_document(
    account: NoiseAccount, removed: Sequence[Removed], channels: Sequence[str]
) -> dict[str, Any]:
    """The same for scripts."""
    return {
        channel: {
            **({} if not account.channels else _channel_document(account.channels[place])),
            "removed_rms": removed[place].rms,
            "removed_share_of_noise": removed[place].share,
            "filled": removed[place].filled,
        }
        for place, channel in enumerate(channels)
    }


def _channel_document(one: ChannelNoise) -> dict[str, Any]:
    return {
        "unit": one.unit,
        "noise": one.noise,
        "impulsive": one.impulsive,
        **{f"{mode}_gain_db": one.gain_db.get(mode) for mode in _MODES},
        **{f"{mode}_bound_db": one.bound_db.get(mode) for mode in _MODES},
        **{f"{mode}_from_bound_db": one.from_bound_db(mode) for mode in _MODES},
    }


def show_noise(account: NoiseAccount, removed: Sequence[Removed] = ()) -> None:
    """One row a channel: noise, expected gains and, in brackets, how far from the bound.

    Args:
        account: what training found.
        removed: what was taken from files, by channel; without it, what training found alone.
    """
    modes = [mode for mode in _MODES if any(mode in one.gain_db for one in account.channels)]
    right = [
        "noise",
        *(f"{mode}, dB" for mode in modes),
        *(("removed (rms)", "of the noise") if removed else ()),
    ]
    table = Table(
        Column("channel", overflow="fold"),
        *(Column(name, justify="right") for name in right),
        box=None,
        padding=(0, 2, 0, 0),
    )
    for place, one in enumerate(account.channels[:_MOST_CHANNELS]):
        table.add_row(
            printable(one.channel),
            _noise(one),
            *(_gain(one, mode) for mode in modes),
            *(_removed(one, removed[place]) if removed else ()),
        )
    console = PlainConsole()
    console.print(table)
    if len(account.channels) > _MOST_CHANNELS:
        console.print(f"{len(account.channels) - _MOST_CHANNELS} more (--json)")


def noise_facts(account: NoiseAccount) -> list[tuple[str, str]]:
    """What the table says, and what it leaves out."""
    if account.why:
        return [("noise", f"nothing is taken for noise: {account.why}")]
    gain = (
        "expected, in noise power; in brackets, from the Wiener bound: what no linear filter of "
        "the channel alone can beat (above 0, the other channels help)"
    )
    facts = [("gain", gain)]
    if account.lag:
        many = "1 reading" if account.lag == 1 else f"{account.lag} readings"
        facts.append(
            ("settled", f"with hindsight, known {many} ({account.lag_s:g} s) after the reading")
        )
    if leaping := [printable(one.channel) for one in account.channels if one.impulsive]:
        facts.append(
            ("impulses", f"single readings that leap away are noise of {', '.join(leaping)}")
        )
    return facts


def _noise(one: ChannelNoise) -> str:
    if not one.noise:
        return "none"
    return f"{one.noise:.3g} {printable(one.unit)}".rstrip()


def _gain(one: ChannelNoise, mode: str) -> str:
    gain, away = one.gain_db.get(mode), one.from_bound_db(mode)
    if gain is None or not one.noise:
        return "-"
    return f"{gain:.1f}" + ("" if away is None else f" ({away:+.1f})")


def _removed(one: ChannelNoise, removed: Removed) -> tuple[str, str]:
    share = removed.share
    if share is None or not math.isfinite(share):
        return f"{removed.rms:.3g} {printable(one.unit)}".rstrip(), "-"
    return f"{removed.rms:.3g} {printable(one.unit)}".rstrip(), f"{100 * share:.0f} %"
