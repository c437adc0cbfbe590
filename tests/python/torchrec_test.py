"""The plug for torchrec: loads the library as torchrec does, and drives its four
functions."""

import ctypes

import numpy as np
import pytest

import paramo

c_ids = ctypes.POINTER(ctypes.c_int64)
FETCHED = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32,
                           ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32)
DONE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Pull(ctypes.Structure):
    _fields_ = [("table_name", ctypes.c_char_p), ("num_cols", ctypes.c_uint32),
                ("num_global_ids", ctypes.c_uint32), ("col_ids", c_ids),
                ("global_ids", c_ids), ("num_states", ctypes.c_uint32),
                ("context", ctypes.c_void_p), ("on_fetched", FETCHED),
                ("on_done", DONE)]


class Push(ctypes.Structure):
    _fields_ = [("table_name", ctypes.c_char_p), ("num_cols", ctypes.c_uint32),
                ("num_global_ids", ctypes.c_uint32), ("col_ids", c_ids),
                ("global_ids", c_ids), ("num_states", ctypes.c_uint32),
                ("state_ids", ctypes.POINTER(ctypes.c_uint32)),
                ("num_offsets", ctypes.c_uint32),
                ("offsets", ctypes.POINTER(ctypes.c_uint64)),
                ("data", ctypes.c_void_p), ("context", ctypes.c_void_p),
                ("on_done", DONE)]


@pytest.fixture(scope="module")
def library():
    library = ctypes.CDLL(paramo.torchrec_library())
    library.IO_Initialize.restype = ctypes.c_void_p
    library.IO_Finalize.argtypes = [ctypes.c_void_p]
    library.IO_Pull.argtypes = [ctypes.c_void_p, Pull]
    library.IO_Push.argtypes = [ctypes.c_void_p, Push]
    return library


@pytest.fixture
def io(library, address):
    io = library.IO_Initialize(address.encode())
    assert io
    yield io
    library.IO_Finalize(io)


def pointer(array, kind):
    return array.ctypes.data_as(ctypes.POINTER(kind))


def push(library, io, table, ids, columns, rows):
    """rows [ids, columns, states, width]; columns may be empty."""
    ids, columns = np.array(ids, np.int64), np.array(columns, np.int64)
    states = np.arange(rows.shape[2], dtype=np.uint32)
    offsets = np.arange(rows[..., 0].size + 1, dtype=np.uint64)
    offsets *= rows.shape[3] * 4
    done = []
    library.IO_Push(io, Push(
        table.encode(), len(columns), len(ids),
        pointer(columns, ctypes.c_int64), pointer(ids, ctypes.c_int64),
        len(states), pointer(states, ctypes.c_uint32), len(offsets),
        pointer(offsets, ctypes.c_uint64), rows.ctypes.data, None,
        DONE(lambda _: done.append(1))))
    assert done == [1]


def pull(library, io, table, ids, columns, states):
    ids, columns = np.array(ids, np.int64), np.array(columns, np.int64)
    rows, done = {}, []

    def fetched(_, offset, state, data, size):
        rows[offset, state] = np.frombuffer(
            ctypes.string_at(data, size), np.float32).tolist()

    library.IO_Pull(io, Pull(
        table.encode(), len(columns), len(ids),
        pointer(columns, ctypes.c_int64), pointer(ids, ctypes.c_int64), states,
        None, FETCHED(fetched), DONE(lambda _: done.append(1))))
    assert done == [1]
    return rows


def test_names_its_type(library):
    assert ctypes.c_char_p.in_dll(library, "IO_type").value == b"paramo"


def test_what_was_pushed_is_pulled_again(library, io, name):
    rows = np.arange(2 * 2 * 2 * 3, dtype=np.float32).reshape(2, 2, 2, 3)
    push(library, io, name, [11, 5], [0, 1], rows)
    push(library, io, name, [11, 5], [0, 1], rows + 0.5)  # later values
    assert pull(library, io, name, [5, 7, 11], [0, 1], 2) == {
        (2 * i + column, state): (rows[id, column, state] + 0.5).tolist()
        for i, id in ((0, 1), (2, 0)) for column in (0, 1) for state in (0, 1)}


def test_tables_that_are_not_cut_by_columns(library, io, name):
    push(library, io, name, [-3], [], np.full((1, 1, 1, 4), 2, np.float32))
    assert pull(library, io, name, [-3, 3], [], 1) == {(0, 0): [2, 2, 2, 2]}


def test_nothing_is_fetched_of_a_table_that_nobody_pushed(library, io, name):
    assert pull(library, io, name, [1, 2], [0], 1) == {}


def test_bad_rows_are_complained_of(library, io, name, capfd):
    push(library, io, name, [1], [0], np.full((1, 1, 1, 2), np.nan, np.float32))
    assert "NaN" in capfd.readouterr().err
    assert pull(library, io, name, [1], [0], 1) == {}


def test_no_cluster_is_no_instance(library, capfd):
    assert library.IO_Initialize(b"nonsense") is None
    assert "nonsense" in capfd.readouterr().err
