"""Secrets of subscriptions at rest: encrypted, by a key that is not in the database."""

from __future__ import annotations

import base64
import os
import secrets
import stat
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from schemas.settings import GatewaySettings
from workers.errors import SettingsError

__all__ = ["Sealer", "key_file_of"]

_VERSION: Final = b"\x01"
_KEY_ID_BYTES: Final = 4
_NONCE_BYTES: Final = 12
_HEAD_BYTES: Final = len(_VERSION) + _KEY_ID_BYTES
# One salt for all: it keeps keys of Vigie apart from others of the same words, no more. What makes
# a key hard to guess is its own length, and the work of scrypt.
_SALT: Final = b"vigie gateway secrets"
_MIN_KEY_CHARS: Final = 16


class Sealer:
    """Encrypts and decrypts (AES-256-GCM); safe to share between threads.

    What it makes begins with a version and a short name of the key, so that a wrong key is told
    from a damaged database.
    """

    def __init__(self, key: bytes) -> None:
        """Of 32 bytes."""
        self._key_id = sha256(b"vigie key id" + key).digest()[:_KEY_ID_BYTES]
        self._cipher = AESGCM(key)

    @classmethod
    def of_key(cls, text: str) -> Self:
        """Of a key in words, as gateway.secret_key holds it.

        Raises:
            SettingsError: it is too short to be a secret.
        """
        if len(text) < _MIN_KEY_CHARS:
            raise SettingsError(
                f"gateway.secret_key must have at least {_MIN_KEY_CHARS} characters: make one "
                "with `openssl rand -base64 32`"
            )
        derived = Scrypt(salt=_SALT, length=32, n=2**14, r=8, p=1).derive(text.encode())
        return cls(derived)

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """Of a file with a key; it is made, for its owner alone, if there is none.

        Raises:
            SettingsError: it cannot be read or written, is empty, or others may read it.
        """
        try:
            text = _read(path)
            if text is None:
                _make(path)
                text = _read(path)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise SettingsError(
                f"{path}, the key of the secrets of subscriptions, cannot be used ({reason}): "
                "correct that, or set gateway.secret_key"
            ) from error
        if not text:
            raise SettingsError(
                f"{path}, the key of the secrets of subscriptions, is empty: restore it, or "
                "remove it and create the subscriptions with secrets anew"
            )
        return cls.of_key(text)

    @classmethod
    def of_settings(cls, gateway: GatewaySettings) -> Self:
        """Of gateway.secret_key, or else of the file beside the SQLite database.

        Raises:
            SettingsError: there is neither; or see `of_key`, `of_file`.
        """
        key = gateway.secret_key.get_secret_value()
        if key:
            return cls.of_key(key)
        path = key_file_of(gateway.database.get_secret_value())
        if path is None:
            raise SettingsError(
                "gateway.secret_key is missing: only a SQLite file has a key beside it. Make one "
                "with `openssl rand -base64 32`, and give it to every gateway of this database"
            )
        return cls.of_file(path)

    def seal(self, plain: bytes) -> bytes:
        """Encrypt; the same bytes come out different every time."""
        nonce = os.urandom(_NONCE_BYTES)
        head = _VERSION + self._key_id
        return head + nonce + self._cipher.encrypt(nonce, plain, head)

    def open(self, sealed: bytes) -> bytes:
        """Decrypt.

        Raises:
            SettingsError: another key sealed it, or it is damaged.
        """
        head, nonce = sealed[:_HEAD_BYTES], sealed[_HEAD_BYTES : _HEAD_BYTES + _NONCE_BYTES]
        if head[:1] == _VERSION and head[1:] != self._key_id:
            raise SettingsError(
                "The secrets in the gateway's database were encrypted by another key: set "
                "gateway.secret_key to that one, or put its key file back beside the database. "
                "If it is lost, create the subscriptions with secrets anew."
            )
        try:
            return self._cipher.decrypt(nonce, sealed[_HEAD_BYTES + _NONCE_BYTES :], head)
        except (InvalidTag, ValueError) as error:
            raise SettingsError(
                "A secret in the gateway's database is damaged: restore the database, or create "
                "its subscription anew."
            ) from error


def key_file_of(database: str) -> Path | None:
    """The key file that belongs to a database; None if it is no SQLite file."""
    try:
        url = make_url(database)
    except ArgumentError:
        return None
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    path = Path(url.database)
    return path.with_name(f"{path.name}.key")


def _read(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(4096).decode().strip()
    except FileNotFoundError:
        return None
    if stat.S_IMODE(mode) & 0o077:
        raise SettingsError(
            f"{path}, the key of the secrets of subscriptions, can be read by others: "
            f"chmod 600 {path}"
        )
    return text


def _make(path: Path) -> None:
    """Write a key whole or not at all; if another process was faster, its key stays."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(os.urandom(32)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # unlike a rename, it never replaces a key that is there
        except FileExistsError:
            return
        _sync_folder(path.parent)
    finally:
        draft.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
