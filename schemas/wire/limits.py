"""Limits on what crosses the wire: everything has one."""

from __future__ import annotations

MAX_NAME_CHARS = 249
"""Longest name of a sensor, channel, topic or model; Kafka's own limit for topics."""
MAX_CHANNELS = 4096
"""Most channels of a sensor."""
MAX_FRAME_READINGS = 65_536
"""Most readings of one frame."""
MAX_DENOISED_READINGS = 1_000_000
"""Most readings of one denoised frame; a micro-batch is far below."""
MAX_RECORD_BYTES = 1_000_000
"""Largest record unless told otherwise; about what a broker takes by default."""
MAX_LABELS = 32
"""Most labels of a sensor."""
MAX_LABEL_NAME_CHARS = 64
"""Longest name of a label."""
MAX_LABEL_CHARS = 249
"""Longest label; as long as a sensor's own name."""
MAX_MESSAGE_CHARS = 500
"""Longest message of a rejection; a poison record must not fill the headers or the log."""
