"""A run of faults over a running pipeline, and what has to hold at its end. This text is the plan.

**What runs.** One Apache Kafka on a disk of its own; `vigie run` with two ingest workers and a
scorer, exactly once unless said otherwise, which reaches the broker only through a proxy
(`pipeline`, `cluster`, `proxy`, `disk`). A producer that cannot be harmed writes readings with
everything that sensors do wrong: late, doubled, out of order, gaps, clocks that jump, missing
values, faults that last, sensors that fall silent in them, frames, records that are no JSON, and
now and then one that no scorer survives (`load`). Somebody reads the incidents, and all the time
wishes things of the sensors (`wisher`): a fault, a false alarm, a new normal, off, forget, and what
was wished before not any more. A `read_committed` reader follows the outputs from the first moment
on (`reader`).

**What happens.** A seed decides (`schedule`). Faults come in batches of one to three; behind each
batch every partition has to be committed past what lay in it then, in time, and new readings have
to flow, before the next one comes. The nemesis (`nemesis`) kills and suspends processes; cuts,
holds, swallows, delays and slices the network; fills the disk; breaks scorers and clocks; has
strangers join the group, partitions be added and a second instance come under the same names. Two
faults aim at transactions:

* *late request*: a request of a transaction is held, its connection is cut, the client repeats it
  with success, and the broker gets the first copy when later transactions are under way. What a
  producer says of a transaction carries nothing that tells it from the next one but the epoch.
* *suspend worker in a send*: SIGSTOP while outputs are with the network, for longer than a
  transaction may be open: the worker wakes up, hears that all is well, and owns nothing any more.

With three brokers (`--nodes 3`) every topic has three copies, of which two must have what counts,
and the nemesis strikes one broker at a time (`brokers`): leaders move (`leaders`), the coordinator
of transactions dies and that of groups goes on, and the other way round, a follower falls behind,
two of three stand still, a broker is parted from its peers and not from its clients, its power
fails and with it goes what was not flushed (`power`).

**What has to hold.** `oracle` judges the log of the source reading by reading, in plain Python, by
the policies alone; `reference` scores its windows one by one, and goes on to flags, incidents and
what is recorded by `tests.support.incident_twin`; a second pipeline works on the same log
undisturbed, and hears of no wish; `replays` has the product's state machine do a backtest, and
start from commits of the run. The judges (`checkers`) compare, and share no code with the product
where that can be:

1. Nothing lost, nothing twice, nothing invented: each offset ends in exactly one way.
2. No number differs by a bit, in no field of any output, nor in what is recorded of a sensor: flags
   and incidents depend on all that the alarm rule has learnt since the sensor's first reading.
3. Ids are unique, and those of their readings; a sensor's outputs are in order, in one partition.
   An incident is opened, updated, resolved, its events numbered without a hole; anomalies name it.
4. Commits go forward only, and reach the end; each of them allows a restart.
5. A transaction is whole: it holds the outputs of exactly the offsets that it commits. So what one
   unit of work reads is contiguous across a rebalance (Jepsen: no skip, no internal skip), and no
   transaction was ended half-way even if the rest followed (no torn transaction).
6. The reader that was there all the time saw each committed record once, no aborted one, nothing
   that went away again (no aborted read), as the broker's own files say it, byte by byte.
7. Nothing is left: no open transaction, and the last stable offset of every partition, also of the
   broker's own topics of offsets and transactions, is its end.
8. Nothing ends by itself, drains end with 0, no process is left behind.
9. What is wished is heeded (`wishes`): each wish that stands, by each sensor that it concerns,
   once, from a place that the run chose and told of (its deeds). The definition and the backtest
   do those deeds at those places, and give every number of the run, and of what is recorded. The
   undisturbed run is compared with the definition without deeds; without any, with the run too.
10. What a broker acknowledged to the producer of readings is in the log, and the copies of all
    brokers are the same, byte for byte (`replicas`).

At least once, 1 to 3 hold for the first of each id, 5 does not apply, and nothing is wished: a
repeat may heed a wish at another place.

**What a judge is worth.** `test_checkers` plants every violation once, and the judge has to find
it. A run whose log does not grow fails.

`experiment` is the whole; ``python -m tests.chaos --help`` runs it, and a short run is a test.
"""
