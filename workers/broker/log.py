"""From the broker's log to a sentence that says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_CAUSES: Final = (
    (
        ("No space left on device", "Disk quota exceeded"),
        "The disk of {data} is full: free some space, or choose another folder with --data.",
    ),
    (
        ("Failed to acquire lock on file",),
        "Another broker uses the data folder {data}: stop it, or choose another with --data.",
    ),
    (
        ("Could not reserve enough space", "Cannot allocate memory", "OutOfMemoryError"),
        "Not enough memory for the broker: free some, or choose a smaller --heap.",
    ),
    (
        ("Permission denied", "AccessDeniedException", "Read-only file system"),
        "The broker may not write to {data}: choose a folder of yours with --data.",
    ),
    (
        ("UnsupportedClassVersionError",),
        "This Java is too old for Kafka 4: take 17 or newer (JAVA_HOME), or the bundled one.",
    ),
    (
        ("ClassNotFoundException", "NoClassDefFoundError", "zip file"),
        "A jar of Kafka cannot be read: remove the cache folder (see vigie doctor), start again.",
    ),
    (
        ("InconsistentClusterIdException", "doesn't match stored clusterId", "meta.properties"),
        "The data folder {data} is damaged or of another cluster: choose another with --data.",
    ),
)
_SHOWN: Final = 15


def explain(log: str, *, data: Path) -> str:
    """Name the cause if the log shows a known one, and quote the end of the log."""
    tail = "\n".join(log.splitlines()[-_SHOWN:]) or "(empty)"
    for signs, advice in _CAUSES:
        if any(sign in log for sign in signs):
            return f"{advice.format(data=data)} The end of the broker's log:\n{tail}"
    return f"The broker did not start. The end of its log:\n{tail}"
