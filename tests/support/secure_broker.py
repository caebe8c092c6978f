"""One real broker behind every kind of lock that Kafka has: TLS, SCRAM, OAUTHBEARER, mTLS, rights.

Its plain listener on loopback is for the test itself: who comes there may do everything. Behind the
others each principal may do what `SecureBroker.allow` has allowed it, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from tests.support.broker import QUICK_START
from tests.support.certificates import Authority
from tests.support.identity_provider import AUDIENCE, ISSUER, IdentityProvider, identity_provider
from tests.support.wait import wait_until
from workers.broker.embedded import BrokerConfig, EmbeddedBroker
from workers.broker.ports import free_port
from workers.kafka.client import Connection
from workers.kafka.kafka_python.options import admin_options
from workers.kafka.rights import Right

HOST: Final = "localhost"
CLIENT: Final = "vigie-client"
"""The one that may come in at `OAUTHBEARER` and `mTLS`; with SCRAM: whom the test adds."""
SECRET: Final = "s3cret-of-the-client"
_PACKAGE: Final = "org.apache.kafka.common.security"
_SECURED: Final = {"TLS": "SSL", "SASL": "SASL_SSL", "MTLS": "SSL", "EXPIRED": "SSL"}


@dataclass(frozen=True)
class SecureBroker:
    """What a test needs of it."""

    broker: EmbeddedBroker
    ports: dict[str, int]
    authority: Authority
    provider: IdentityProvider
    client_files: tuple[Path, Path]

    @property
    def admin(self) -> Connection:
        """As somebody who may do everything."""
        return Connection(bootstrap=self.broker.bootstrap, wait_timeout_s=20)

    def connection(self, listener: str, *, host: str = HOST, **options: Any) -> Connection:
        """How to come in at a listener: TLS, SASL, MTLS or EXPIRED (whose certificate is)."""
        return Connection(
            bootstrap=f"{host}:{self.ports[listener]}",
            options={
                "security_protocol": _SECURED[listener],
                "ssl_cafile": str(self.authority.path),
                **options,
            },
            wait_timeout_s=20,
        )

    def scram(self, user: str, password: str, **options: Any) -> Connection:
        """With a user and a password."""
        given = {
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": user,
            "sasl_plain_password": password,
        }
        return self.connection("SASL", **given | options)

    def oauth(self, **options: Any) -> Connection:
        """With a token of the identity provider."""
        return self.connection(
            "SASL",
            **{
                "sasl_mechanism": "OAUTHBEARER",
                "sasl_oauthbearer_token_endpoint_url": self.provider.url,
                "sasl_oauthbearer_client_id": CLIENT,
                "sasl_oauthbearer_client_secret": SECRET,
                **options,
            },
        )

    def mtls(self, **options: Any) -> Connection:
        """With a certificate of the client's own."""
        certificate, key = self.client_files
        files = {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}
        return self.connection("MTLS", **files | options)

    def add_user(self, user: str, password: str) -> None:
        """Let a user in by SCRAM; one that is there gets another password."""
        with self._client() as client:
            client.alter_user_scram_credentials(
                [UserScramCredentialUpsertion(user, "SCRAM-SHA-512", password)]
            )

    def remove_user(self, user: str) -> None:
        """Let it in no more; who is in stays."""
        with self._client() as client:
            client.alter_user_scram_credentials(
                [UserScramCredentialDeletion(user, "SCRAM-SHA-512")]
            )

    def allow(self, principal: str, rights: Iterable[Right]) -> None:
        """Give rights."""
        wanted = {_acl(principal, right) for right in rights}
        with self._client() as client:
            outcome = client.create_acls(list(wanted))
            assert not outcome["failed"], outcome
            # The broker hears of it a moment after the controller has answered.
            wait_until(lambda: wanted <= set(_held(client, principal)), within=20)

    def forbid(self, principal: str) -> None:
        """Take all its rights away."""
        with self._client() as client:
            client.delete_acls([_every(principal)])
            wait_until(lambda: not _held(client, principal), within=20)

    @contextmanager
    def _client(self) -> Iterator[Any]:
        client = KafkaAdminClient(**admin_options(self.admin))
        try:
            yield client
        finally:
            client.close()


@contextmanager
def secure_broker(folder: Path, *, reauth_s: float = 0.0) -> Iterator[SecureBroker]:
    """Start it; its files go to `folder`.

    Who is in with a password is asked for it again after `reauth_s`; 0 is never.
    """
    authority = Authority(folder)
    stores = {
        name: _store(folder, *authority.sign(name, HOST, days=days))
        for name, days in (("server", 1), ("expired", -1))
    }
    with identity_provider({CLIENT: SECRET}) as provider:
        keys = folder / "jwks.json"
        provider.write_keys(keys)
        ports = {name: free_port() for name in ("PLAINTEXT", "CONTROLLER", *_SECURED)}
        config = BrokerConfig(
            port=ports["PLAINTEXT"],
            jvm_options=(
                *QUICK_START,
                f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={keys.as_uri()}",
                f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.files={keys}",
            ),
            properties=_properties(ports, authority.path, stores, keys, reauth_s),
        )
        with config.open() as broker:
            yield SecureBroker(
                broker=broker,
                ports=ports,
                authority=authority,
                provider=provider,
                client_files=authority.sign(CLIENT, HOST),
            )


def _properties(
    ports: dict[str, int], authority: Path, stores: dict[str, Path], keys: Path, reauth_s: float
) -> dict[str, str]:
    listeners = ",".join(f"{name}://{HOST}:{port}" for name, port in ports.items())
    protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", **_SECURED}
    sasl, oauth = "listener.name.sasl", "listener.name.sasl.oauthbearer.sasl"
    return {
        "listeners": listeners,
        "advertised.listeners": listeners,
        "controller.quorum.bootstrap.servers": f"{HOST}:{ports['CONTROLLER']}",
        "listener.security.protocol.map": ",".join(
            f"{name}:{protocol}" for name, protocol in protocols.items()
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(stores["server"]),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority),
        # The principal of a client is the common name of its certificate.
        "ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/,DEFAULT",
        "listener.name.mtls.ssl.client.auth": "required",
        "listener.name.expired.ssl.keystore.type": "PEM",
        "listener.name.expired.ssl.keystore.location": str(stores["expired"]),
        f"{sasl}.sasl.enabled.mechanisms": "SCRAM-SHA-512,OAUTHBEARER",
        f"{sasl}.scram-sha-512.connections.max.reauth.ms": str(int(reauth_s * 1000)),
        f"{sasl}.scram-sha-512.sasl.jaas.config": f"{_PACKAGE}.scram.ScramLoginModule required;",
        f"{oauth}.jaas.config": f"{_PACKAGE}.oauthbearer.OAuthBearerLoginModule required;",
        f"{oauth}.server.callback.handler.class": (
            f"{_PACKAGE}.oauthbearer.OAuthBearerValidatorCallbackHandler"
        ),
        f"{oauth}.oauthbearer.jwks.endpoint.url": keys.as_uri(),
        f"{oauth}.oauthbearer.expected.audience": AUDIENCE,
        f"{oauth}.oauthbearer.expected.issuer": ISSUER,
        "sasl.oauthbearer.jwks.endpoint.url": keys.as_uri(),
        "sasl.oauthbearer.expected.audience": AUDIENCE,
        "sasl.oauthbearer.expected.issuer": ISSUER,
    }


def _store(folder: Path, certificate: Path, key: Path) -> Path:
    """Key and certificate in one file, as Kafka wants them."""
    path = folder / f"{certificate.stem}-store.pem"
    path.write_bytes(key.read_bytes() + certificate.read_bytes())
    return path


def _every(principal: str) -> ACLFilter:
    anything = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY)
    return ACLFilter(principal, None, ACLOperation.ANY, ACLPermissionType.ANY, anything)


def _held(client: Any, principal: str) -> list[ACL]:
    found: list[ACL] = client.describe_acls(_every(principal))[0]
    return found


def _acl(principal: str, right: Right) -> ACL:
    pattern = ResourcePattern(
        ResourceType[right.resource.name],
        right.name,
        ACLResourcePatternType.PREFIXED if right.is_prefix else ACLResourcePatternType.LITERAL,
    )
    operation = ACLOperation[right.operation.upper()]
    return ACL(principal, "*", operation, ACLPermissionType.ALLOW, pattern)
