"""How a group shares its partitions: in rounds, evenly, and without leaving one behind."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from kafka.protocol.consumer.metadata import ConsumerProtocolSubscription

from workers.kafka.kafka_python.consumer.assignor import Claims, CooperativeAssignor, share

MEMBERS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8, unique=True)


@st.composite
def groups(draw: Any) -> tuple[list[str], dict[int, str], list[int]]:
    """Members, who of them holds what, and the partitions."""
    members = draw(MEMBERS)
    partitions = list(range(draw(st.integers(0, 20))))
    holders = st.one_of(st.none(), st.sampled_from(members))
    owners = {partition: draw(holders) for partition in partitions}
    return members, {p: owner for p, owner in owners.items() if owner}, partitions


@given(groups())
def test_two_rounds_give_every_partition_one_owner_and_each_member_its_part(group):
    members, owners, partitions = group
    first = share(members, owners, partitions)
    for member, given_ in first.items():
        assert all(owners.get(partition, member) == member for partition in given_), "still held"
    kept = {partition: member for member, given_ in first.items() for partition in given_}

    second = share(members, kept, partitions)

    assert sorted(p for given_ in second.values() for p in given_) == partitions
    sizes = [len(given_) for given_ in second.values()]
    assert max(sizes) - min(sizes) <= 1
    assert share(members, {p: m for m, ps in second.items() for p in ps}, partitions) == second


@given(groups())
def test_no_more_partitions_move_than_it_takes(group):
    members, owners, partitions = group
    first = share(members, owners, partitions)
    moved = sum(partition not in first[owner] for partition, owner in owners.items())

    held = sorted((sum(o == m for o in owners.values()) for m in members), reverse=True)
    least, extra = divmod(len(partitions), len(members))
    assert moved == sum(max(0, n - least - (rank < extra)) for rank, n in enumerate(held))


def member(name: str, claims: Claims, *, static: str | None = None) -> Any:
    """A member as the leader sees it."""
    assignor = CooperativeAssignor()
    assignor.claims = lambda: claims
    said = ConsumerProtocolSubscription.decode(assignor.metadata({"t"}).encode())
    return SimpleNamespace(member_id=name, group_instance_id=static, metadata=said)


def assigned(members: list[Any], partitions: int) -> dict[str, list[int]]:
    cluster = SimpleNamespace(partitions_for_topic=lambda _: set(range(partitions)))
    return {
        name: [tp.partition for tp in assignment.partitions()]
        for name, assignment in CooperativeAssignor().assign(cluster, members).items()
    }


def test_of_two_claims_the_younger_generation_counts():
    old = Claims(partitions=[("t", 0), ("t", 1)], generation=3)
    young = Claims(partitions=[("t", 0)], generation=7)

    for order in ([member("z", old), member("a", young)], [member("a", young), member("z", old)]):
        assert assigned(order, 2) == {"a": [0], "z": [1]}


def test_members_are_given_theirs_by_name_not_by_the_order_they_come_in():
    one, two = member("x", Claims(), static="w-1"), member("b", Claims(), static="w-2")

    assert assigned([one, two], 3) == assigned([two, one], 3) == {"x": [0, 1], "b": [2]}
