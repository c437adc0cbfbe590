"""A connection to a cluster: its tables, tensors and jobs."""

from __future__ import annotations

import atexit
import os
import weakref
from html import escape
from types import TracebackType
from typing import Any, Mapping, TypeVar

import numpy as np

from paramo import _core, gpu
from paramo.arrays import Context, array_of
from paramo.dense import Dense
from paramo.errors import FailedPrecondition, InvalidArgument
from paramo.futures import Future
from paramo.job import Job
from paramo.local import LocalCluster
from paramo.rules import BSP, SGD, Initializer, Rule, Sync, Zeros
from paramo.table import Ack, Table

T = TypeVar("T")

_NON_FINITE = {"reject": 0, "skip-row": 1, "clip": 2}
_DURABILITY = {"logged": 0, "replicated": 1, "synced": 2}

# Connections are closed before the interpreter goes: their threads call back.
_open: weakref.WeakSet[Cluster] = weakref.WeakSet()
# gRPC does not survive a fork: once it runs here, children must not use it.
_connected_in: int | None = None


def connect(address: str | LocalCluster | None = None, *,
            timeout: float = 10.0, deadline: float = 30.0,
            threads: int = 1) -> Cluster:
    """Connects to a cluster.

    Args:
        address: "host:port" of the coordinator or any server, several
            separated by commas; a LocalCluster, which then ends with the
            connection unless it was started before; $PARAMO_ADDRESS if not
            given.
        timeout: seconds to wait for a cluster that serves every shard.
        deadline: seconds that any call may take, unless it names its own.
        threads: that receive answers and copy rows; one serves 2-3 GB/s.

    Raises:
        InvalidArgument: no address, or one that is not host:port.
        Unavailable: nobody answered within `timeout`.
        FailedPrecondition: this process is a fork of a connected one.

    >>> import paramo
    >>> with paramo.connect(getfixture("address")) as cluster:
    ...     cluster.shards
    8
    """
    global _connected_in
    if _connected_in is not None and _connected_in != os.getpid():
        raise FailedPrecondition(
            f"process {_connected_in} was connected when this one, "
            f"{os.getpid()}, was forked from it; a connection needs threads "
            "that a fork does not have", action="connect",
            hint='start workers with multiprocessing\'s "spawn" or '
            '"forkserver": DataLoader(multiprocessing_context="spawn")')
    local = None
    if isinstance(address, LocalCluster):
        local = None if address.running else address
        address = address.start().address
    try:
        _connected_in = os.getpid()
        core = _core.connect(address or "", _milliseconds(timeout, "timeout"),
                             _milliseconds(deadline, "deadline"), threads)
        return Cluster(core, address or os.environ.get("PARAMO_ADDRESS", ""),
                       local)
    except BaseException:
        if local is not None:
            local.close()
        raise


class Cluster:
    """An open connection; use it as a context manager, from any thread."""

    def __init__(self, core: _core.Cluster, address: str,
                 local: LocalCluster | None) -> None:
        self._core = core
        self._local = local
        self._job: Job | None = None  # whose steps pulls and pushes belong to
        self.address = address
        _open.add(self)

    # ---- Tables -------------------------------------------------------------

    def table(self, name: str, dim: int | None = None, *,
              rule: Rule | None = None, init: Initializer | None = None,
              seed: int = 0, clip_value: float = 0.0, clip_norm: float = 0.0,
              non_finite: str = "reject", clip: float = 0.0,
              durability: str = "logged", codec: str = "f32",
              memory_budget: int = 0) -> Table:
        """Creates a table, or opens one that has an equal spec; without `dim`
        it only opens.

        Args:
            name: [a-z0-9][a-z0-9._-]*, at most 128 characters.
            dim: floats of one row, 1 to 65,536.
            rule: SGD(lr=0.01) if not given.
            init: of rows that no push has touched; Zeros() if not given.
            seed: of the initializer; 0: chosen at creation.
            clip_value, clip_norm: bounds on a row's gradient; 0: none.
            non_finite: "reject", "skip-row" or "clip" (to +-`clip`).
            durability: "logged", "replicated" or "synced".
            codec: how values travel when a call names none: "f32", "f16",
                "bf16" or "int8". Arrays are float32 whatever it is.
            memory_budget: bytes of rows in memory; 0: all of them.

        Raises:
            SchemaMismatch: it is there with another spec; with the difference.
            NotFound: without `dim`, no such table.

        >>> import paramo
        >>> cluster = getfixture("cluster")
        >>> cluster.table("ads", dim=4, rule=paramo.Adagrad(lr=0.05))
        <paramo.Table 'ads', dim 4, adagrad(eps=1e-10, lr=0.05)>
        >>> cluster.table("ads").dim
        4
        """
        if dim is None:
            if rule is not None or init is not None:
                raise InvalidArgument(
                    f"table {name!r} is to be created without a width",
                    action=f"create table {name}", hint="dim=16, say")
            return Table(self, self._core.open_table(name))
        spec = self._spec(name, rule, init)
        spec.update(
            dim=_count(dim, "dim"), seed=seed, clip_value=clip_value,
            clip_norm=clip_norm, non_finite_clip=clip,
            non_finite=_choice(non_finite, "non_finite", _NON_FINITE),
            durability=_choice(durability, "durability", _DURABILITY),
            codec=codec, memory_budget=_count(memory_budget, "memory_budget",
                                              least=0, below=2**64))
        return Table(self, self._core.create_table(spec))

    def dense(self, name: str, values: Mapping[str, Any], *,
              rule: Rule | None = None, durability: str = "logged",
              codec: str = "f32") -> Dense:
        """Creates tensors `name`.key with these first values, or opens them.

        Whoever comes first decides the values; those of later comers are left
        alone, so every worker may call this.

        Args:
            values: float arrays by name, [a-z0-9._-]*.
            rule: SGD(lr=0.01) if not given.
            durability, codec: as of `table`; first values are exact whatever it is.

        Raises:
            SchemaMismatch: a tensor is there with another shape or rule.
        """
        tensors, firsts = {}, []
        for key, value in values.items():
            first = np.ascontiguousarray(
                array_of(value, key, Context("create", f"{name}.{key}")),
                np.float32)
            spec = self._spec(f"{name}.{key}", rule, None)
            spec.update(
                shape=list(first.shape) or [1], seed=1, codec=codec,
                durability=_choice(durability, "durability", _DURABILITY))
            tensors[key] = self._core.create_tensor(spec)
            firsts.append((tensors[key], None, first))
        if not tensors:
            raise InvalidArgument(f"dense {name!r} has no tensors",
                                  action=f"create dense {name}",
                                  hint='values={"w0": w0, ...}')
        self._core.push(firsts, initial=True)
        return Dense(self, name, tensors)

    def tables(self) -> list[dict[str, Any]]:
        """Name, dim, shape, rule of every table there is."""
        return self._core.list_tables()

    def drop(self, name: str) -> None:
        """Removes a table and its rows. Not undone by anything."""
        self._core.drop_table(name)

    # ---- Jobs ---------------------------------------------------------------

    def job(self, name: str, *, sync: Sync = BSP(), workers: int = 1,
            lease: float = 3.0) -> Job:
        """Takes part in a training job, whose other workers name it equally.

        Inside `with cluster.job(...) as job` every pull and push of this
        cluster belongs to the job's current step, which `job.clock()` ends.

        Args:
            sync: how far apart workers may be: Async, BSP, SSP or Round.
            workers: members to wait for: steps may begin before, and no
                round closes (nor is anybody ahead of a bound) until then.
            lease: seconds of silence after which a worker counts as dead.
        """
        return Job(self, name, sync, _count(workers, "workers"), lease)

    def flush(self, deadline: float = 30.0) -> None:
        """Waits until every call made before has been answered or failed."""
        self._core.flush(_milliseconds(deadline, "deadline"))

    # ---- Life ---------------------------------------------------------------

    def close(self) -> None:
        """Waits for calls that block, cancels the others, disconnects."""
        self._core.close()
        if self._local is not None and not self._core.forked:
            self._local.close()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, kind: type[BaseException] | None,
                 error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()

    # ---- About --------------------------------------------------------------

    @property
    def closed(self) -> bool:
        return self._core.closed

    @property
    def shards(self) -> int:
        return self._core.shards

    @property
    def stats(self) -> dict[str, int]:
        """Counters since `connect`: pushes, pulls, requests, retries,
        bytes_sent, bytes_received, shm_bytes (of both, through shared memory),
        shm_full (requests that found no room there), parked_us."""
        return self._core.stats

    def __repr__(self) -> str:
        if self._core.forked:
            state = "of the process that this one was forked from"
        elif self.closed:
            state = "closed"
        else:
            stats = self.stats
            state = (f"{self.shards} shards, {stats['pulls']} pulls, "
                     f"{stats['pushes']} pushes, {stats['retries']} retries")
        return f"<paramo.Cluster {self.address}: {state}>"

    def _repr_html_(self) -> str:
        if self.closed:
            return f"<code>{escape(repr(self))}</code>"
        rows = "".join(f"<tr><td>{name}</td><td>{value:,}</td></tr>"
                       for name, value in self.stats.items())
        return (f"<table><caption>{escape(self.address)}, {self.shards} shards"
                f"</caption>{rows}</table>")

    # ---- Calls --------------------------------------------------------------

    def _pull(self, parts: list[Any], deadline: float | None,
              **more: Any) -> None:
        caller, options = self._caller(deadline, **more)
        caller.pull(parts, **options)
        gpu.deliver(parts)

    def _push(self, parts: list[Any], deadline: float | None,
              **more: Any) -> Ack:
        caller, options = self._caller(deadline, **more)
        return _ack(caller.push(parts, **options), options["clock"])

    def _pull_async(self, parts: list[Any], answer: T,
                    deadline: float | None, **more: Any) -> Future[T]:
        caller, options = self._caller(deadline, **more)
        future: Future[T] = Future()

        def settle(_: Any, error: BaseException | None) -> None:
            try:
                if error is None:
                    gpu.deliver(parts)
            except RuntimeError as failed:
                error = failed
            future._settle(answer, error)

        caller.pull_async(parts, settle, **options)
        return future

    def _push_async(self, parts: list[Any], deadline: float | None,
                    **more: Any) -> Future[Ack]:
        caller, options = self._caller(deadline, **more)
        future: Future[Ack] = Future()

        def settle(ack: Any, error: BaseException | None) -> None:
            future._settle(
                None if ack is None else _ack(ack, options["clock"]), error)

        caller.push_async(parts, settle, **options)
        return future

    def _caller(self, deadline: float | None,
                **more: Any) -> tuple[Any, dict[str, Any]]:
        """Who makes the call, and with what options."""
        if deadline is not None:
            more["deadline_ms"] = _milliseconds(deadline, "deadline")
        job = self._job
        if job is None:
            more["clock"] = 0
            return self._core, more
        return job._step_caller(more)

    def _spec(self, name: str, rule: Rule | None,
              init: Initializer | None) -> dict[str, Any]:
        rule = SGD() if rule is None else rule
        init = Zeros() if init is None else init
        for value, kind, what in ((rule, Rule, "rule"),
                                  (init, Initializer, "init")):
            if not isinstance(value, kind):
                raise InvalidArgument(
                    f"{what} is {value!r}", action=f"create table {name}",
                    table=name, hint="paramo.Adagrad(lr=0.05), say"
                    if kind is Rule else "paramo.Uniform(0.01), say")
        return {"name": name, "rule": rule.name, "rule_params": rule.params(),
                **init.spec()}


def _ack(raw: tuple[int, ...], clock: int) -> Ack:
    lsn, finished, applied, accumulated, dropped, skipped, replicas = raw
    return Ack(lsn, replicas, max(0, clock - finished) if clock else 0,
               finished, applied, accumulated, dropped, skipped)


def _milliseconds(seconds: float, name: str) -> int:
    if not isinstance(seconds, (int, float)) or not 0 < seconds <= 600:
        raise InvalidArgument(f"{name} is {seconds!r}",
                              hint=f"{name}=30, seconds from 0 to 600")
    return max(1, round(seconds * 1000))


def _count(value: int, name: str, least: int = 1, below: int = 2**31) -> int:
    if not isinstance(value, (int, np.integer)) or not least <= value < below:
        raise InvalidArgument(f"{name} is {value!r}",
                              hint=f"{name} is a number from {least} on")
    return int(value)


def _choice(value: str, name: str, choices: dict[str, int]) -> int:
    if value not in choices:
        raise InvalidArgument(f"{name} is {value!r}",
                              hint=f"{name} is one of {', '.join(choices)}")
    return choices[value]


def _close_all() -> None:
    for cluster in list(_open):
        cluster.close()


atexit.register(_close_all)
