"""What stands for foreign images where there is no Docker: the same programs, from this machine.

A twin does what the image's entry point does with its variables and command; the program is the
real one (Kafka's jars; PostgreSQL, Prometheus, Alertmanager of the system's packages). Grafana has
none: nobody packages it.
"""

from __future__ import annotations

import pwd
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from tests.support.postgres import MISSING, postgres_programs
from workers.broker.folders import cache_folder
from workers.broker.jars import fetch_jars
from workers.broker.java import find_java

Mounts = Sequence[tuple[Path, str, str]]
_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
_NO_PROPERTIES: Final = frozenset({"KAFKA_HEAP_OPTS", "KAFKA_OPTS", "KAFKA_JVM_PERFORMANCE_OPTS"})


# The script's own class is in none of the jars that a broker needs. As there: the brokers of the
# cluster, each asked at the address that it advertises.
_API_VERSIONS: Final = """\
#!/opt/vigie/bin/python
import sys

from kafka import KafkaAdminClient

for broker in KafkaAdminClient(bootstrap_servers=sys.argv[2]).describe_cluster()["brokers"]:
    address = f"{broker['host']}:{broker['port']}"
    KafkaAdminClient(bootstrap_servers=address).close()
    print(address)
"""


class Twin(Protocol):
    """The stand-in of an image."""

    def why_not(self) -> str | None:
        """Why it cannot run here; None if it can."""
        ...

    def path(self) -> str:
        """Where its programs are."""
        ...

    def user(self) -> tuple[int, int]:
        """As whom it runs."""
        ...

    def command(self, words: Sequence[str]) -> list[str]:
        """What runs, for the command of the file."""
        ...

    def mounts(self, env: Mapping[str, str], folder: Path) -> Mounts:
        """What the image brings; `folder` is for files that have to be made."""
        ...


class _Program:
    """An image that does nothing but run one program of the system's packages."""

    def __init__(self, *names: str, package: str) -> None:
        self._program = next((found for name in names if (found := shutil.which(name))), None)
        self._package = package

    def why_not(self) -> str | None:
        return None if self._program else f"missing: apt-get install {self._package}"

    def path(self) -> str:
        return _PATH

    def user(self) -> tuple[int, int]:
        nobody = pwd.getpwnam("nobody")
        return nobody.pw_uid, nobody.pw_gid

    def command(self, words: Sequence[str]) -> list[str]:
        assert self._program is not None
        return [self._program, *words]

    def mounts(self, env: Mapping[str, str], folder: Path) -> Mounts:
        return []


class _Nothing(_Program):
    """An image for which this machine has no program."""

    def why_not(self) -> str | None:
        return "no package has it: its files are checked, it is not run"


class _Kafka(_Program):
    """The jars of `vigie broker`, with the image's rule from variables to properties."""

    def why_not(self) -> str | None:
        return None

    def user(self) -> tuple[int, int]:
        return 1000, 1000

    def command(self, words: Sequence[str]) -> list[str]:
        file = "/opt/kafka/config/server.properties"
        java = "/opt/java/bin/java -cp '/opt/kafka/libs/*'"
        options = f'--ignore-formatted -t "$CLUSTER_ID" -c {file}'
        script = (
            f"{java} kafka.tools.StorageTool format {options}; "
            f"exec {java} $KAFKA_HEAP_OPTS kafka.Kafka {file}"
        )
        return ["sh", "-euc", script]

    def mounts(self, env: Mapping[str, str], folder: Path) -> Mounts:
        made = folder / "kafka"
        made.mkdir(exist_ok=True)
        (made / "server.properties").write_text(kafka_properties(env))
        script = made / "kafka-broker-api-versions.sh"
        script.write_text(_API_VERSIONS)
        script.chmod(0o755)
        jars = fetch_jars(cache_folder())
        return [
            (find_java().parents[1], "/opt/java", "ro"),
            (jars[0].parent, "/opt/kafka/libs", "ro"),
            (made / "server.properties", "/opt/kafka/config/server.properties", "ro"),
            (script, f"/opt/kafka/bin/{script.name}", "ro"),
        ]


class _Postgres(_Program):
    """As the image's entry point: a new data folder with user and database, then the server."""

    def why_not(self) -> str | None:
        return MISSING if postgres_programs() is None else None

    def path(self) -> str:
        return f"{postgres_programs()}:{_PATH}"

    def user(self) -> tuple[int, int]:
        found = pwd.getpwnam("postgres")
        return found.pw_uid, found.pw_gid

    def command(self, words: Sequence[str]) -> list[str]:
        return [
            *("sh", "-euc"),
            """
            export PGDATA=/var/lib/postgresql/data LANG=C.UTF-8
            if [ ! -s "$PGDATA/PG_VERSION" ]; then
                initdb --username="$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" \
                    $POSTGRES_INITDB_ARGS --no-sync
                echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
                echo "CREATE DATABASE \\"$POSTGRES_DB\\"" | postgres --single postgres
            fi
            exec postgres -c listen_addresses='*' -c unix_socket_directories=/run/postgresql
            """,
        ]


def kafka_properties(env: Mapping[str, str]) -> str:
    """server.properties of the variables, by the rule of the image apache/kafka.

    Upper case to lower, one underscore is a dot, two are one, three are a hyphen.
    """
    lines = []
    for name, value in env.items():
        if name.startswith("KAFKA_") and name not in _NO_PROPERTIES:
            key = name.removeprefix("KAFKA_").lower()
            key = key.replace("___", "-").replace("__", "\0").replace("_", ".").replace("\0", "_")
            lines.append(f"{key}={value}\n")
    return "".join(lines)


TWINS: Final[Mapping[str, Twin]] = {
    "kafka": _Kafka(package=""),
    "postgres": _Postgres(package="postgresql"),
    "prometheus": _Program("prometheus", package="prometheus"),
    "alertmanager": _Program(
        "alertmanager", "prometheus-alertmanager", package="prometheus-alertmanager"
    ),
    "grafana": _Nothing(package=""),
}
