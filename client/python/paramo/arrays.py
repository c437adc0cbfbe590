"""Arrays on their way to the C++ client, which borrows their memory.

Nothing is copied that need not be: contiguous uint64 and int64 keys and
contiguous float32 rows pass as they are. What needs a copy is copied up to
1 MiB, and refused above, so that no large copy happens unseen. Arrays of a GPU
are copied to pinned memory (gpu.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from paramo import gpu
from paramo.errors import InvalidArgument, SchemaMismatch

COPY_BYTES_MAX = 1 << 20

Keys = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.float32]

_UINT64 = np.dtype(np.uint64)
_INT64 = np.dtype(np.int64)
_FLOAT32 = np.dtype(np.float32)


class Context:
    """What an error says of the call: "push" of a table."""

    __slots__ = ("verb", "table")

    def __init__(self, verb: str, table: str) -> None:
        self.verb = verb
        self.table = table

    def invalid(self, message: str, hint: str) -> InvalidArgument:
        return self._error(InvalidArgument, message, hint)

    def mismatch(self, message: str, hint: str) -> SchemaMismatch:
        error = self._error(SchemaMismatch, message, hint)
        assert isinstance(error, SchemaMismatch)
        return error

    def _error(self, kind: type[InvalidArgument], message: str,
               hint: str) -> InvalidArgument:
        return kind(message, action=f"{self.verb} of table {self.table}",
                    table=self.table, hint=hint,
                    applied="no" if self.verb == "push" else None)


def array_of(value: Any, name: str, context: Context) -> npt.NDArray[Any]:
    """`value` as an array that shares its memory, where it has any."""
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "__dlpack__"):
        return _from_dlpack(value, name, context)
    try:
        return np.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise context.invalid(
            f"{name} cannot be made an array: {error}",
            f"pass a NumPy array as {name}") from error


def keys_of(value: Any, context: Context) -> Keys:
    """Checked keys, [n] uint64, contiguous."""
    keys = array_of(value, "keys", context)
    if keys.ndim != 1:
        raise context.invalid(
            f"keys has {keys.ndim} dimensions, shape {keys.shape}; one is "
            "needed", "keys.reshape(-1)")
    if keys.dtype == _UINT64:
        pass
    elif keys.size == 0 and not isinstance(value, np.ndarray):
        return np.empty(0, _UINT64)  # [] is an array of floats to NumPy
    elif keys.dtype.kind in "iu":
        _refuse_negative(keys, context)
        if keys.dtype == _INT64:
            keys = keys.view(_UINT64)
        else:
            keys = _copied(keys, _UINT64, "keys", context)
    elif isinstance(value, (list, tuple)) and all(
            isinstance(key, int) for key in value):
        keys = _exact(value, context)  # NumPy made them floats, or objects
    else:
        raise context.invalid(
            f"keys has type {keys.dtype}; keys are integers from 0 to "
            "2**64 - 1", "keys.astype(np.uint64), once their values are whole "
            "numbers in that range")
    if not keys.flags.c_contiguous:
        keys = _copied(keys, _UINT64, "keys", context)
    return keys


def rows_of(value: Any, name: str, shape: tuple[int, ...],
            context: Context) -> Rows:
    """Checked gradients or values, float32 of that shape, contiguous."""
    rows = array_of(value, name, context)
    if rows.dtype != _FLOAT32:
        if isinstance(value, np.ndarray) or rows.dtype.kind not in "fiu":
            raise context.invalid(
                f"{name} has type {rows.dtype}; float32 is needed",
                f"{name}.astype(np.float32)")
        rows = _copied(rows, _FLOAT32, name, context)  # a list of numbers
    _check_shape(rows, name, shape, context)
    if not rows.flags.c_contiguous:
        rows = _copied(rows, _FLOAT32, name, context)
    return rows


def out_of(value: Any, shape: tuple[int, ...], context: Context) -> Rows:
    """An array to be written: the caller's own memory, never a copy."""
    out: Rows = value
    if isinstance(value, np.ndarray):
        pass
    elif hasattr(value, "__dlpack__") and gpu.holds(value):
        out = gpu.stage(value, "out", context)
    else:
        out = array_of(value, "out", context)
        writable = np.asarray(value)
        if writable.ctypes.data != out.ctypes.data:
            raise context.invalid(
                f"out is a {type(value).__name__} whose memory cannot be "
                "written from here", "pass a NumPy array, or a torch tensor")
        out = writable
    if out.dtype != _FLOAT32:
        raise context.invalid(f"out has type {out.dtype}; float32 is needed",
                              f"out=np.empty({shape}, np.float32)")
    _check_shape(out, "out", shape, context)
    if not out.flags.c_contiguous:
        raise context.invalid(
            "out is not contiguous: rows are written one after the other",
            f"out=np.empty({shape}, np.float32)")
    if not out.flags.writeable:
        raise context.invalid("out is read-only",
                              f"out=np.empty({shape}, np.float32)")
    return out


def _from_dlpack(value: Any, name: str, context: Context) -> npt.NDArray[Any]:
    if gpu.holds(value):
        return gpu.fetch(value, name, context)
    kind = value.__dlpack_device__()[0]
    if int(kind) not in (1, 3):  # kDLCPU, kDLCUDAHost
        raise context.invalid(
            f"{name} is neither in the memory of the CPU nor of an NVIDIA GPU",
            f"{name}.cpu()")
    try:
        return np.from_dlpack(value)
    except (BufferError, RuntimeError, TypeError) as error:
        raise context.invalid(
            f"{name} does not share its memory: {error}",
            f"{name}.detach(), or a NumPy array of it") from error


def _refuse_negative(keys: npt.NDArray[Any], context: Context) -> None:
    if keys.dtype.kind != "i" or keys.size == 0 or keys.min() >= 0:
        return
    at = int(np.argmin(keys))
    raise context.invalid(
        f"key {keys[at]} at position {at} is negative; keys are integers from "
        "0 to 2**64 - 1",
        "drop padding (keys[keys >= 0]); a hash is keys.view(np.uint64)")


def _exact(keys: list[int] | tuple[int, ...], context: Context) -> Keys:
    for at, key in enumerate(keys):
        if not 0 <= key < 2**64:
            raise context.invalid(
                f"key {key} at position {at} is out of range; keys are "
                "integers from 0 to 2**64 - 1", "a hash of it: key % 2**64")
    return np.array(keys, _UINT64)


def _check_shape(rows: npt.NDArray[Any], name: str, shape: tuple[int, ...],
                 context: Context) -> None:
    if rows.shape == shape:
        return
    raise context.mismatch(
        f"{name} has shape {rows.shape}; the table needs {shape}",
        f"one row of the table's width for each key: {name}.reshape{shape}, or "
        "open the table that has this width")


def _copied(array: npt.NDArray[Any], dtype: npt.DTypeLike, name: str,
            context: Context) -> npt.NDArray[Any]:
    if array.nbytes > COPY_BYTES_MAX:
        why = ("is not contiguous" if array.dtype == dtype
               else f"has type {array.dtype}")
        raise context.invalid(
            f"{name} {why}: it would be copied, {array.nbytes >> 20} MiB each "
            "time",
            f"{name} = np.ascontiguousarray({name}, np.{np.dtype(dtype).name})"
            ", once, where it is made")
    return np.ascontiguousarray(array, dtype)
