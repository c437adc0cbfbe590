"""Taking part in a training job: a rank, a clock, a share of the data."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Iterator, NamedTuple, Sized

import numpy as np
import numpy.typing as npt

from paramo.errors import FailedPrecondition, InvalidArgument
from paramo.table import Ack

if TYPE_CHECKING:
    from paramo.cluster import Cluster
    from paramo.rules import Sync

# Leases held at a time: the next one is there when the last is finished.
_LEASES = 2


class Shard(NamedTuple):
    """One step's share of the data.

    Attributes:
        epoch: 0, 1, ...
        number: of the shard, over all epochs.
        indices: [batch] int64, of the examples in the data set.
    """

    epoch: int
    number: int
    indices: npt.NDArray[np.int64]


class Job:
    """One membership, made by `Cluster.job`; a context manager.

    It joins when it is first used. A thread of its own sends heartbeats, so
    that a long computation is not taken for death.

    >>> import paramo, numpy as np
    >>> cluster = getfixture("cluster")
    >>> t = cluster.table("job-doc", dim=1, rule=paramo.SGD(lr=1))
    >>> with cluster.job("doc-1", sync=paramo.SSP(2)) as job:
    ...     for shard in job.shards(dataset=10, batch=4):
    ...         _ = t.push(shard.indices, np.ones((len(shard.indices), 1),
    ...                                           np.float32))
    ...         _ = job.clock()
    >>> float(t.pull(np.arange(10)).sum())
    -10.0
    """

    def __init__(self, cluster: Cluster, name: str, sync: Sync, workers: int,
                 lease: float) -> None:
        self._cluster = cluster
        self.name = name
        self.sync = sync
        self._spec: dict[str, Any] = {
            "name": name, "sync": sync.text(), "workers": workers,
            "lease_ms": round(lease * 1000), "examples": 1, "batch": 1,
            "epochs": 1}
        self._core: Any = None  # None until it has joined
        self._clock = 0
        self._position = 0
        self._examples = 1  # of the current step
        self._examples_done = 0

    # ---- Membership ---------------------------------------------------------

    def __enter__(self) -> Job:
        if self._cluster._job is not None:
            raise FailedPrecondition(
                f"this cluster takes part in job {self._cluster._job.name!r}",
                action=f"join job {self.name}",
                hint="end that one first, or connect once more")
        self._cluster._job = self
        return self

    def __exit__(self, kind: type[BaseException] | None,
                 error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self._cluster._job = None
        core, self._core = self._core, None
        if core is not None and not self._cluster.closed:
            core.leave("" if kind is None
                       else f"{kind.__name__}: {error}"[:500])

    @property
    def rank(self) -> int:
        """Of this worker, from 0."""
        return int(self._joined().rank)

    @property
    def phase(self) -> str:
        """"waiting", "running", "done", "stopped" or "failed"."""
        return str(self._joined().phase)

    @property
    def step(self) -> int:
        """Steps that this worker has finished; begins at the job's clock when
        it joined."""
        self._joined()
        return self._clock

    def barrier(self, name: str, deadline: float = 30.0) -> None:
        """Waits until every live worker has come to it.

        Raises:
            DeadlineExceeded: with the ranks that are missing.
        """
        self._joined().barrier(name, round(deadline * 1000))

    # ---- Steps --------------------------------------------------------------

    def clock(self, examples: int | None = None, *, loss: float = 0.0,
              deadline: float | None = None) -> Ack:
        """Ends the current step: its pushes are this worker's contribution.

        Args:
            examples: that its gradients are the mean of; those of the shard,
                or 1. Rounds weigh workers by it.
            loss: for `paramo status`.
        """
        self._joined()
        if examples is not None:
            self._examples = examples
        return self._end_step([], loss, deadline)

    def _end_step(self, parts: list[Any], loss: float,
                  deadline: float | None) -> Ack:
        ack = self._cluster._push(parts, deadline, ends_step=True)
        self._clock += 1
        self._examples_done += self._examples
        self._core.report(self._clock, self._examples_done, loss)
        return ack

    def _step_caller(self, options: dict[str, Any]) -> tuple[Any,
                                                            dict[str, Any]]:
        core = self._joined()
        options.update(clock=self._clock, examples=self._examples,
                       data_position=self._position)
        return core, options

    def _joined(self) -> Any:
        if self._core is None:
            if self._cluster._job is not self:
                raise FailedPrecondition(
                    f"job {self.name!r} is not entered",
                    action=f"join job {self.name}",
                    hint="with cluster.job(...) as job: ...")
            self._core = self._cluster._core.join(self._spec)
            self._clock = self._core.first_clock
        return self._core

    # ---- Data ---------------------------------------------------------------

    def shards(self, dataset: Sized | int, *, batch: int = 1, epochs: int = 1,
               seed: int = 0) -> Shards:
        """Hands out the data set among the job's workers, one batch per step,
        each example once per epoch. The order is a permutation by (seed,
        epoch), the same for every worker; what a dead worker held is handed to
        another.

        Args:
            dataset: anything with a length, or the length.
            batch: examples of one step of one worker.

        Returns:
            An iterable of `Shard` with a length, so that `tqdm(job.shards(d))`
            shows how far this worker is. Call `clock()` at each one's end.
        """
        examples = dataset if isinstance(dataset, int) else len(dataset)
        if examples < 1 or batch < 1 or epochs < 1:
            raise InvalidArgument(
                f"{examples} examples in batches of {batch}, {epochs} epochs",
                action=f"data of job {self.name}",
                hint="each is a number from 1 on")
        if self._core is not None:
            raise FailedPrecondition(
                f"job {self.name!r} has begun without data",
                action=f"data of job {self.name}",
                hint="call shards() before the job's first pull or push")
        self._spec.update(examples=examples, batch=batch, epochs=epochs)
        return Shards(self, examples, batch, epochs, seed)


class Shards:
    """See `Job.shards`."""

    def __init__(self, job: Job, examples: int, batch: int, epochs: int,
                 seed: int) -> None:
        self._job = job
        self._examples = examples
        self._batch = batch
        self._epochs = epochs
        self._seed = seed
        self._order: npt.NDArray[np.int64] | None = None
        self._order_epoch = -1

    def __len__(self) -> int:
        """This worker's part, when all are equally fast."""
        total = self._epochs * self._per_epoch
        return -(-total // int(self._job._spec["workers"]))

    def __iter__(self) -> Iterator[Shard]:
        core = self._job._joined()
        held: dict[int, bool] = {}  # data shard: finished
        while True:
            leases, exhausted, retry_after = core.lease_data(
                [(number, int(done), done) for number, done in held.items()],
                _LEASES)
            held = {number: False for number, done in held.items() if not done}
            held.update({number: False for number, _, _ in leases})
            if not held:
                if exhausted:
                    return
                # Others hold the rest; the coordinator says when to ask again.
                time.sleep(retry_after)
            for number in list(held)[:1]:
                yield self._begin(number)
                held[number] = True
            if core.phase == "stopped":
                return

    @property
    def _per_epoch(self) -> int:
        return -(-self._examples // self._batch)

    def _begin(self, number: int) -> Shard:
        epoch, at = divmod(number, self._per_epoch)
        if self._order is None or epoch != self._order_epoch:
            generator = np.random.Generator(np.random.PCG64([self._seed,
                                                             epoch]))
            self._order = generator.permutation(self._examples)
            self._order_epoch = epoch
        indices = self._order[at * self._batch:(at + 1) * self._batch]
        self._job._position = number << 32 | 1
        self._job._examples = len(indices)
        return Shard(epoch, number, indices)
