"""Asking a schema registry over HTTP, as Confluent's API has it; Karapace and Apicurio speak it.

Whatever is not a registry's own answer counts as an outage, and is waited for: a gateway that has
lost what stands behind it says 404, too. Only a rejection of ours (401, 403) and a certificate that
is not trusted end the run: they do not heal by waiting.
"""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import IO, Any, Final

from schemas.settings import RegistrySettings
from schemas.wire.errors import excerpt
from workers.errors import RegistryUnavailableError, SettingsError

MAX_ANSWER_BYTES: Final = 4 * 2**20
MAX_REDIRECTS: Final = 3
_CHUNK_BYTES: Final = 65_536
_ACCEPT: Final = "application/vnd.schemaregistry.v1+json, application/json"
_NOT_FOUND: Final = 404
_REJECTED: Final = frozenset({401, 403})
_NOT_FOUND_CODES: Final = range(40_400, 40_500)


class RegistryClient:
    """Asks one registry, at the first of its addresses that answers.

    Attributes:
        url: its addresses, as they may be shown.

    Raises:
        SettingsError: no address, or a file of certificates that cannot be read.
    """

    def __init__(
        self, settings: RegistrySettings, *, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        if not settings.url:
            raise SettingsError(
                "registry.url is not set: records in Confluent's wire format cannot be read"
                " without their schemas"
            )
        self.url = settings.url
        self._bases = [url.rstrip("/") for url in settings.url.split(",")]
        self._timeout_s, self._monotonic_s = settings.timeout_s, monotonic_s
        self._headers = {"Accept": _ACCEPT, **_authorization(settings)}
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=_tls(settings)), _SameOriginRedirect()
        )

    def get(self, path: str) -> Mapping[str, Any] | None:
        """The registry's answer, None if every address says that there is no such thing.

        Raises:
            RegistryUnavailableError: no address knows it, and one does not answer as a registry.
            SettingsError: the registry rejects us.
        """
        deadline_s = self._monotonic_s() + self._timeout_s
        problems = []
        for left in range(len(self._bases), 0, -1):
            base, now_s = self._bases[0], self._monotonic_s()
            # A share for each: one that hangs must not take the time of those behind it.
            share_s = (deadline_s - now_s) / left
            try:
                if (answer := self._ask(f"{base}{path}", now_s + share_s)) is not None:
                    return answer
            except (OSError, HTTPException, ValueError) as error:
                problems.append(f"{base}: {_reason(error)}")
            # The next one may be ahead of this one; it is asked first from now on.
            self._bases.append(self._bases.pop(0))
        if problems:  # whoever is away might know it
            raise RegistryUnavailableError(
                f"the schema registry does not answer ({'; '.join(problems)}): start it, or"
                " correct registry.url"
            )
        return None

    def _ask(self, url: str, deadline_s: float) -> Mapping[str, Any] | None:
        request = urllib.request.Request(url, headers=self._headers)  # noqa: S310 - see settings
        timeout_s = max(deadline_s - self._monotonic_s(), 0.001)
        try:
            with self._opener.open(request, timeout=timeout_s) as answer:
                return self._document(answer, deadline_s)
        except urllib.error.HTTPError as error:
            with error:
                if error.code in _REJECTED:
                    raise SettingsError(
                        f"the schema registry at {url} rejects us (HTTP {error.code}): correct"
                        " registry.user and registry.password, or registry.token, or the rights"
                        " that they give"
                    ) from error
                if error.code == _NOT_FOUND and self._says_not_found(error, deadline_s):
                    return None
            raise
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                raise SettingsError(
                    f"the certificate of the schema registry at {url} is not trusted"
                    f" ({error.reason.verify_message}): correct registry.ca_file or registry.url"
                ) from error
            raise

    def _document(self, answer: IO[bytes], deadline_s: float) -> Mapping[str, Any]:
        """The JSON object of an answer; raises ValueError or OSError if there is none."""
        body = bytearray()
        while chunk := answer.read1(_CHUNK_BYTES):  # type: ignore[attr-defined]
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise ValueError(f"answers with more than {MAX_ANSWER_BYTES} bytes")
            if self._monotonic_s() > deadline_s:
                raise TimeoutError("answers too slowly")
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise ValueError(f"no registry's answer: {excerpt(bytes(body))}")  # noqa: TRY004 - of a foreign text
        return document

    def _says_not_found(self, error: urllib.error.HTTPError, deadline_s: float) -> bool:
        """Whether a registry said so, and not something on the way to it."""
        try:
            code = self._document(error, deadline_s).get("error_code")
        except (OSError, HTTPException, ValueError):
            return False
        return code in _NOT_FOUND_CODES


class _SameOriginRedirect(urllib.request.HTTPRedirectHandler):
    """Follows within one host only: elsewhere the credentials are nobody's business."""

    max_redirections = MAX_REDIRECTS
    max_repeats = MAX_REDIRECTS

    def redirect_request(  # noqa: PLR0917 - the library calls it
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> urllib.request.Request | None:
        """The request to send next; raises HTTPError if it would leave the host."""
        old, new = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        if (old.scheme, old.netloc) != (new.scheme, new.netloc):
            raise urllib.error.HTTPError(
                req.full_url,
                code,
                f"leads to {new.scheme}://{new.hostname}, give that",
                headers,
                fp,
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    return str(getattr(error, "reason", error)) or type(error).__name__


def _authorization(settings: RegistrySettings) -> dict[str, str]:
    token = settings.token.get_secret_value()
    if token:
        return {"Authorization": f"Bearer {token}"}
    if not settings.user:
        return {}
    pair = f"{settings.user}:{settings.password.get_secret_value()}"
    return {"Authorization": f"Basic {b64encode(pair.encode()).decode('ascii')}"}


def _tls(settings: RegistrySettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"registry.ca_file: {settings.ca_file}: {error}") from error
