"""What a person asked of the latent space and cannot have."""

from __future__ import annotations

from workers.errors import VigieError


class LatentError(VigieError):
    """The windows or the library that were asked for are not there; the message says what is."""
