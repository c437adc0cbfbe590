"""Rows by key."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from paramo.arrays import Context, Keys, Rows, keys_of, out_of, rows_of
from paramo.futures import Future

if TYPE_CHECKING:
    from paramo.cluster import Cluster


class Ack(NamedTuple):
    """The answer to a push.

    Attributes:
        lsn: highest log position over the shards that it touched.
        replicas: lowest number of servers that have it.
        staleness: steps that the pusher was ahead of the slowest worker of its
            job; 0 outside a job.
        clock: lowest clock that all live workers have finished.
        applied, accumulated, dropped: sections (one per table and shard) by
            outcome: done; kept for an open round; too late for their round.
        rows_skipped: rows left as they were, because the gradient was not
            finite.
    """

    lsn: int
    replicas: int
    staleness: int
    clock: int
    applied: int
    accumulated: int
    dropped: int
    rows_skipped: int


class Table:
    """Rows of `dim` floats by 64-bit key; made by `Cluster.table`.

    A row is created by the first push to it; until then a pull computes it
    from the table's initializer. Any thread may use it.

    >>> import paramo, numpy as np
    >>> cluster = getfixture("cluster")
    >>> t = cluster.table("doc", dim=2, rule=paramo.SGD(lr=0.5))
    >>> ack = t.push([7, 7, 9], np.ones((3, 2), np.float32))
    >>> t.pull([9, 7, 1])
    array([[-0.5, -0.5],
           [-1. , -1. ],
           [ 0. ,  0. ]], dtype=float32)
    """

    def __init__(self, cluster: Cluster, core: Any) -> None:
        info = core.info
        self._cluster = cluster
        self._core = core
        self.name: str = info["name"]
        self.dim: int = info["dim"]
        self.rule: str = info["rule"]
        self.rule_params: dict[str, float] = info["rule_params"]
        self.codec: str = info["codec"]
        self._pulling = Context("pull", self.name)
        self._pushing = Context("push", self.name)

    def pull(self, keys: Any, out: Any = None, *,
             deadline: float | None = None, codec: str = "") -> Rows:
        """Fetches rows.

        Args:
            keys: [n] integers, 0 to 2**64 - 1, any order, duplicates fine;
                uint64 and int64 arrays are not copied, but from a GPU.
            out: [n, dim] float32, written in place and returned; NumPy array or
                torch tensor, on an NVIDIA GPU too. On an error its contents
                are unspecified.
            deadline: seconds; the connection's if not given.
            codec: how rows travel, "f32", "f16", "bf16" or "int8"; the
                table's if not given.

        Returns:
            [n, dim] float32.

        Raises:
            InvalidArgument: what is wrong with an array, and the mend.
            NotFound: the table was dropped.
            DeadlineExceeded: with what it was waiting for.

        >>> t = getfixture("cluster").table("pull-doc", dim=2)
        >>> rows = np.empty((2, 2), np.float32)
        >>> t.pull(np.array([1, 2], np.uint64), out=rows) is rows
        True
        """
        part, rows = self._pull_part(keys, out)
        self._cluster._pull([part], deadline, codec=codec)
        return rows if out is None else out

    def push(self, keys: Any, grads: Any, *,
             deadline: float | None = None, codec: str = "") -> Ack:
        """Applies one gradient per key, exactly once whatever is retried.

        Args:
            keys: [n] as for `pull`; gradients of the same key are summed.
            grads: [n, dim] float32.
            deadline: seconds; the connection's if not given.
            codec: how gradients travel and are logged, as for `pull`; "int8"
                rounds them at random, without bias.

        Raises:
            InvalidArgument: arrays; or a NaN or an infinity in `grads`.
            DeadlineExceeded, Unavailable: `applied` says what became of it.

        >>> t = getfixture("cluster").table("push-doc", dim=2)
        >>> t.push([1], [[float("nan"), 0.0]])
        Traceback (most recent call last):
        paramo.errors.InvalidArgument: INVALID_ARGUMENT: the gradient of key ...
        """
        return self._cluster._push([self._push_part(keys, grads)], deadline,
                                   codec=codec)

    def pull_async(self, keys: Any, out: Any = None, *,
                   deadline: float | None = None,
                   codec: str = "") -> Future[Rows]:
        """As `pull`, without waiting: `future.result()`, or `await future`."""
        part, rows = self._pull_part(keys, out)
        return self._cluster._pull_async([part], rows if out is None else out,
                                         deadline, codec=codec)

    def push_async(self, keys: Any, grads: Any, *,
                   deadline: float | None = None,
                   codec: str = "") -> Future[Ack]:
        """As `push`, without waiting. The arrays must not change until it is
        ready."""
        return self._cluster._push_async([self._push_part(keys, grads)],
                                         deadline, codec=codec)

    def __repr__(self) -> str:
        params = ", ".join(f"{k}={v:g}" for k, v in self.rule_params.items())
        return (f"<paramo.Table {self.name!r}, dim {self.dim}, "
                f"{self.rule}({params})>")

    def _repr_html_(self) -> str:
        return f"<code>{escape(repr(self))}</code>"

    def _pull_part(self, keys: Any, out: Any) -> tuple[tuple[Any, Keys, Rows],
                                                       Rows]:
        checked = keys_of(keys, self._pulling)
        shape = (checked.shape[0], self.dim)
        if out is None:
            rows = np.empty(shape, np.float32)
        else:
            rows = out_of(out, shape, self._pulling)
        return (self._core, checked, rows), rows

    def _push_part(self, keys: Any, grads: Any) -> tuple[Any, Keys, Rows]:
        checked = keys_of(keys, self._pushing)
        shape = (checked.shape[0], self.dim)
        return (self._core, checked,
                rows_of(grads, "grads", shape, self._pushing))
