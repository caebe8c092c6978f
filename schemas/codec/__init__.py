"""Bytes to columns and back; the `content-type` header chooses the format.

`decoder` splits a batch by format; `json_readings`, `json_frames` and `arrow_frames` read one
format each; `encoding` and `arrow_encoding` write.
"""

from schemas.codec.content_type import (
    ANOMALY_JSON,
    DENOISED_ARROW,
    DENOISED_JSON,
    FRAME_ARROW,
    FRAME_JSON,
    HEADER,
    READING_JSON,
)
from schemas.codec.decoder import DECODERS, Decoder
from schemas.codec.encoding import (
    DenoisedEncoder,
    FrameEncoder,
    ReadingEncoder,
    decode_denoised,
    encode_anomaly,
)
from schemas.codec.envelope import Envelope

__all__ = [
    "ANOMALY_JSON",
    "DECODERS",
    "DENOISED_ARROW",
    "DENOISED_JSON",
    "FRAME_ARROW",
    "FRAME_JSON",
    "HEADER",
    "READING_JSON",
    "Decoder",
    "DenoisedEncoder",
    "Envelope",
    "FrameEncoder",
    "ReadingEncoder",
    "decode_denoised",
    "encode_anomaly",
]
