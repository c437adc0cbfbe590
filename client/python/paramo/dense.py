"""Whole tensors: the dense part of a model."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Mapping

import numpy as np

from paramo.arrays import Context, Rows, out_of, rows_of
from paramo.futures import Future
from paramo.table import Ack

if TYPE_CHECKING:
    from paramo.cluster import Cluster


class Dense:
    """Named float32 tensors, pulled and pushed together in one request per
    server; made by `Cluster.dense`.

    >>> import paramo, numpy as np
    >>> cluster = getfixture("cluster")
    >>> d = cluster.dense("mlp", {"w": np.ones((2, 3)), "b": np.zeros(3)},
    ...                   rule=paramo.SGD(lr=1))
    >>> _ = d.push({"b": np.full(3, 0.5, np.float32)})
    >>> d.pull()["b"]
    array([-0.5, -0.5, -0.5], dtype=float32)
    """

    def __init__(self, cluster: Cluster, name: str,
                 tensors: dict[str, Any]) -> None:
        self._cluster = cluster
        self.name = name
        self._tensors = tensors
        self.shapes: dict[str, tuple[int, ...]] = {
            key: tuple(core.info["shape"]) for key, core in tensors.items()}

    def pull(self, out: Mapping[str, Any] | None = None, *,
             deadline: float | None = None,
             codec: str = "") -> dict[str, Rows]:
        """All tensors, float32 in their shapes; into those of `out` if given.

        Raises:
            InvalidArgument: an array of `out` cannot be written in place.
            DeadlineExceeded: with what it was waiting for.
        """
        parts, arrays = self._pull_parts(out)
        self._cluster._pull(parts, deadline, codec=codec)
        return arrays

    def push(self, grads: Mapping[str, Any], *,
             deadline: float | None = None, codec: str = "") -> Ack:
        """Applies gradients, float32 in their tensors' shapes; tensors that
        are not named stay as they are."""
        return self._cluster._push(self._push_parts(grads), deadline,
                                   codec=codec)

    def pull_async(self, out: Mapping[str, Any] | None = None, *,
                   deadline: float | None = None,
                   codec: str = "") -> Future[dict[str, Rows]]:
        parts, arrays = self._pull_parts(out)
        return self._cluster._pull_async(parts, arrays, deadline, codec=codec)

    def push_async(self, grads: Mapping[str, Any], *,
                   deadline: float | None = None,
                   codec: str = "") -> Future[Ack]:
        return self._cluster._push_async(self._push_parts(grads), deadline,
                                         codec=codec)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{key}{list(shape)}"
                           for key, shape in self.shapes.items())
        return f"<paramo.Dense {self.name!r}: {shapes}>"

    def _repr_html_(self) -> str:
        return f"<code>{escape(repr(self))}</code>"

    def _context(self, verb: str, key: str) -> Context:
        return Context(verb, f"{self.name}.{key}")

    def _known(self, key: str, verb: str) -> Any:
        if key not in self._tensors:
            raise self._context(verb, key).invalid(
                f"there is no tensor {key!r} in {self.name!r}",
                f"use one of {', '.join(self._tensors)}")
        return self._tensors[key]

    def _pull_parts(self, out: Mapping[str, Any] | None) -> tuple[
            list[Any], dict[str, Rows]]:
        parts, arrays = [], {}
        for key in self._tensors if out is None else out:
            core = self._known(key, "pull")
            if out is None:
                arrays[key] = array = np.empty(self.shapes[key], np.float32)
            else:
                arrays[key] = out[key]
                array = out_of(out[key], self.shapes[key],
                               self._context("pull", key))
            parts.append((core, None, array))
        return parts, arrays

    def _push_parts(self, grads: Mapping[str, Any]) -> list[Any]:
        return [(self._known(key, "push"), None,
                 rows_of(grad, key, self.shapes[key],
                         self._context("push", key)))
                for key, grad in grads.items()]
