"""Files that hold other channels of one sensor each: its rows are put together of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from workers.data.errors import FileFormatError, listed
from workers.data.file.columns import file_name
from workers.data.file.rows import FileRows
from workers.data.layout import ChannelFrom, Layout


def with_own_channels(files: Sequence[FileRows], layout: Layout) -> list[FileRows]:
    """The same, long, with channels by the names of the files or their folders.

    The one channel of a file is called as that is, several are called NAME/COLUMN.
    `layout.channels` chooses among these names.

    Args:
        files: each with n rows of C channels.
        layout: how they were read.

    Returns:
        For each of them, n rows for each of its channels that are wanted, of one value each.

    Raises:
        FileFormatError: no file has a channel that is wanted, or the folder has no name.
    """
    names = [_called(one, layout.channel_from) for one in files]
    known = {name: name for called in names for name in called.values()}
    wanted = dict(layout.channels) or known
    if missing := [name for name in wanted.values() if name not in known]:
        raise FileFormatError(
            f"{files[0].path}: no file gives the channel {missing[0]!r} (--channel-from "
            f"{layout.channel_from}); there are {listed(known)}"
        )
    new = {name: channel for channel, name in wanted.items()}
    return [
        _long(one, {channel: new[name] for channel, name in called.items() if name in new})
        for one, called in zip(files, names, strict=True)
    ]


def _called(one: FileRows, channel_from: ChannelFrom | None) -> dict[str, str]:
    """The name of each of a file's channels among those of all files."""
    name = file_name(one.path)
    if channel_from is ChannelFrom.FOLDER:
        name = one.path.resolve().parent.name
    if not name:
        raise FileFormatError(f"{one.path}: its folder has no name for a channel (--channel-from)")
    several = len(one.channels) > 1
    return {channel: f"{name}/{channel}" if several else name for channel in one.channels}


def _long(one: FileRows, called: Mapping[str, str]) -> FileRows:
    count = len(called)
    picks = [one.channels.index(channel) for channel in called]
    return replace(
        one,
        channels=tuple(called.values()),
        codes=np.repeat(one.codes, count),
        tags=np.tile(np.arange(count, dtype=np.int32), len(one)),
        ts_ns=np.repeat(one.ts_ns, count),
        values=one.values[:, picks].reshape(-1, 1),
        labels=None if one.labels is None else np.repeat(one.labels, count),
        places=np.repeat(one.places, count),
        units={called[name]: unit for name, unit in one.units.items() if name in called},
        told_missing=_renamed(one.told_missing, called),
        poor_values=_renamed(one.poor_values, called),
    )


def _renamed(counts: Counter[str], called: Mapping[str, str]) -> Counter[str]:
    return Counter({called[name]: count for name, count in counts.items() if name in called})
