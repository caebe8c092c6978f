"""Half a unit of work, in a process that is killed: ``CLIENT BOOTSTRAP TOPIC GROUP OUTPUT ID``."""

from __future__ import annotations

import sys

from tests.contract.clients import CLIENTS
from tests.support.member import Member
from tests.support.wait import wait_until
from workers.kafka.client import Connection


def main() -> None:
    client_name, bootstrap, topic, group, output, name = sys.argv[1:]
    client = CLIENTS[client_name]
    connection = Connection(bootstrap=bootstrap, wait_timeout_s=10)
    source_config = client.source(connection, topic, group, member=name)
    with (
        source_config.open() as source,
        client.transactional_sink(connection, name).open(source) as sink,
    ):
        member = Member(source).starting()
        wait_until(lambda: member.step() and member.held, within=20)
        for n in range(20):
            sink.send(output, key=b"k", value=b"orphan %d" % n)
        client.flush(sink)
        print("half", flush=True)  # noqa: T201 - the test waits for it
        sys.stdin.read()  # to be killed here


if __name__ == "__main__":
    main()
