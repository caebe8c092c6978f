"""Content types: which format a record's bytes are in, and in which version of it."""

from __future__ import annotations

from functools import lru_cache

from schemas.wire.errors import UnknownContentTypeError, excerpt

READING_JSON = "application/vnd.vigie.reading.v1+json"
FRAME_JSON = "application/vnd.vigie.frame.v1+json"
FRAME_ARROW = "application/vnd.vigie.frame.v1+arrow"
ANOMALY_JSON = "application/vnd.vigie.anomaly.v1+json"
DENOISED_JSON = "application/vnd.vigie.denoised.v1+json"
DENOISED_ARROW = "application/vnd.vigie.denoised.v1+arrow"
PLAIN_JSON = "application/json"
"""What a producer that knows nothing of Vigie says; read as one reading."""

CLOUD_EVENT = "application/cloudevents+json"
"""An event in the structured mode of CloudEvents."""
_OWN = "application/vnd.vigie."

HEADER = "content-type"
"""Name of the record header that carries the content type."""


@lru_cache(maxsize=256)
def normalised(header: bytes) -> str:
    """A content-type header in lower case and without parameters such as `; charset=utf-8`.

    Raises:
        UnknownContentTypeError: the header is not text.
    """
    try:
        text = header.decode("ascii")
    except UnicodeDecodeError as error:
        raise UnknownContentTypeError(
            f"the content-type header is not ASCII: {excerpt(header)}"
        ) from error
    return text.partition(";")[0].strip().lower()


def is_vigies_own(header: bytes) -> bool:
    """Whether a content-type header names a format of Vigie's, be it an unknown version of it."""
    try:
        return normalised(header).startswith(_OWN)
    except UnknownContentTypeError:
        return False
