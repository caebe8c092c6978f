"""Half a unit of work, in a process that is then killed: ``BOOTSTRAP TOPIC GROUP OUTPUT ID``."""

from __future__ import annotations

import sys

from tests.support.member import Member
from tests.support.wait import wait_until
from workers.kafka.deadline import Deadline
from workers.kafka.kafka_python import Connection, SourceConfig, TransactionalSinkConfig


def main() -> None:
    bootstrap, topic, group, output, name = sys.argv[1:]
    connection = Connection(bootstrap=bootstrap, wait_timeout_s=10)
    source_config = SourceConfig(connection=connection, topic=topic, group=group, member=name)
    sink_config = TransactionalSinkConfig(connection=connection, transactional_id=name)
    with source_config.open() as source, sink_config.open(source) as sink:
        member = Member(source).starting()
        wait_until(lambda: member.step() and member.held, within=20)
        for n in range(20):
            sink.send(output, key=b"k", value=b"orphan %d" % n)
        sink._settle(Deadline.after(10))  # type: ignore[attr-defined]
        print("half", flush=True)  # noqa: T201 - the test waits for it
        sys.stdin.read()  # to be killed here


if __name__ == "__main__":
    main()
