"""Arrays of an NVIDIA GPU (torch, CuPy, ...), staged through pinned memory.

The C++ client works on memory of the host. What arrives from a GPU is copied
to memory that the GPU reaches by itself, and rows that are pulled into a GPU's
array go the same way back. Copies wait for what the caller's stream has begun
to do with the array, and are over when the call is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterable

import numpy as np
import numpy.typing as npt

from paramo import _core

if TYPE_CHECKING:
    from paramo.arrays import Context, Rows

_KINDS = (2, 13)  # of DLPack: kDLCUDA, kDLCUDAManaged


def holds(value: Any) -> bool:
    """Whether this is an array of a GPU that can be staged."""
    return int(value.__dlpack_device__()[0]) in _KINDS


def fetch(value: Any, name: str, context: Context) -> npt.NDArray[Any]:
    """The array's elements, in pinned memory of the host."""
    array = _open(value, name, context)
    try:
        dtype = np.dtype(array.type)
    except TypeError:
        raise context.invalid(f"{name} has type {array.type}, which NumPy "
                              "does not have", f"{name}.float()") from None
    try:
        pinned: Any = array.fetch()
    except RuntimeError as error:
        raise _failed(name, error, context) from error
    return np.ndarray(array.shape, dtype, buffer=pinned)


class Staged(np.ndarray[Any, np.dtype[np.float32]]):
    """Pinned memory for rows that belong into a GPU's array."""

    target: Any
    pinned: Any

    def deliver(self) -> None:
        self.target.store(self.pinned)


def stage(value: Any, name: str, context: Context) -> Rows:
    """Memory to pull into; `deliver` takes it to `value`."""
    array = _open(value, name, context)
    if array.type != "float32":
        raise context.invalid(
            f"{name} has type {array.type}; float32 is needed",
            f"{name}=torch.empty({array.shape}, device=...)")
    try:
        pinned: Any = array.pin()
    except RuntimeError as error:
        raise _failed(name, error, context) from error
    staged = Staged(array.shape, np.float32, buffer=pinned)
    staged.target, staged.pinned = array, pinned
    return staged


def deliver(parts: Iterable[tuple[Any, Any, Any]]) -> None:
    """Takes what was pulled to the GPU, where it was asked for there."""
    for _, _, rows in parts:
        if type(rows) is Staged:
            rows.deliver()


def _open(value: Any, name: str, context: Context) -> Any:
    try:
        stream = _core.gpu_stream(int(value.__dlpack_device__()[1]))
        array = _core.GpuArray(value.__dlpack__(stream=stream))
    except (BufferError, RuntimeError, TypeError) as error:
        raise _failed(name, error, context) from error
    if not array.contiguous:
        raise context.invalid(f"{name} is not contiguous on its GPU",
                              f"{name}.contiguous()")
    return array


def _failed(name: str, error: Exception, context: Context) -> Exception:
    return context.invalid(f"{name} is an array of a GPU: {error}",
                           f"{name}.detach() if it needs a gradient; "
                           f"{name}.cpu() goes without the GPU")
