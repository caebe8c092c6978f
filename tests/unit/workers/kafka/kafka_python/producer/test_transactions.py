"""Whether a copy of a transaction's request can still be on its way, told by counting."""

from __future__ import annotations

from typing import Any

import pytest
from kafka.errors import KafkaConnectionError
from kafka.future import Future
from kafka.producer.transaction_manager import TransactionalRequestResult
from kafka.protocol.metadata import FindCoordinatorRequest
from kafka.protocol.producer import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    TxnOffsetCommitRequest,
)

from workers.kafka.deadline import Deadline
from workers.kafka.kafka_python.producer.transactions import Transactions

OF_A_TRANSACTION = (
    AddPartitionsToTxnRequest, AddOffsetsToTxnRequest, TxnOffsetCommitRequest, EndTxnRequest,
)  # fmt: skip


class Client:
    """Stands for the client, its sender and its transaction manager at once."""

    def __init__(self) -> None:
        self._sender = self._transaction_manager = self._client = self
        self._transaction_started = False

    def send(self, node_id: int, request: Any) -> Future:
        return Future()

    def wakeup(self) -> None:
        pass

    def begin_transaction(self) -> None:
        pass

    def begin_commit(self) -> TransactionalRequestResult:
        result = TransactionalRequestResult()
        result.done()
        return result


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def transactions(client: Client) -> Transactions:
    transactions = Transactions(client)
    transactions.begin()
    return transactions


def ask(client: Client, *kinds: Any) -> None:
    """Each is answered."""
    client._transaction_started = True
    for kind in kinds:
        client.send(0, kind()).success("an answer")


def test_a_transaction_whose_requests_were_all_answered_is_settled(client, transactions):
    ask(client, *OF_A_TRANSACTION)
    ask(client, AddPartitionsToTxnRequest)  # again because the broker said so
    transactions.commit(Deadline.after(1))

    assert transactions.is_settled


@pytest.mark.parametrize("kind", OF_A_TRANSACTION)
def test_a_transaction_with_a_request_that_lost_its_answer_is_not(kind, client, transactions):
    client.send(0, kind()).failure(KafkaConnectionError("lost"))
    ask(client, *OF_A_TRANSACTION)
    transactions.commit(Deadline.after(1))

    assert not transactions.is_settled


def test_another_request_without_an_answer_says_nothing(client, transactions):
    client.send(0, FindCoordinatorRequest()).failure(KafkaConnectionError("lost"))
    ask(client, EndTxnRequest)
    transactions.commit(Deadline.after(1))

    assert transactions.is_settled


def test_a_transaction_that_the_broker_never_heard_of_is_settled(transactions):
    transactions.commit(Deadline.after(1))

    assert transactions.is_settled


def test_a_transaction_of_which_nothing_was_counted_is_not(client, transactions):
    client._transaction_started = True
    transactions.commit(Deadline.after(1))

    assert not transactions.is_settled


def test_a_client_that_does_not_say_whether_it_has_begun_is_not_trusted(client, transactions):
    del client._transaction_started
    transactions.commit(Deadline.after(1))

    assert not transactions.is_settled
