"""Bad input is an error that says what is wrong and how to mend it."""

import pickle

import numpy as np
import pytest

import paramo

ROW = np.ones((1, 4), np.float32)


def read_only(array):
    array.flags.writeable = False
    return array


BAD_KEYS = {
    "negative": ([3, -5], "key -5 at position 1 is negative", "drop padding"),
    "float": (np.array([1.0]), "type float64", "astype(np.uint64)"),
    "floats in a list": ([1.5], "type float64", "astype(np.uint64)"),
    "bool": (np.array([True]), "type bool", "astype(np.uint64)"),
    "text": (["a"], "type <U1", "astype(np.uint64)"),
    "too large": ([2**64], f"key {2**64} at position 0 is out of range",
                  "key % 2**64"),
    "beside a negative": ([2**63, -1], "key -1 at position 1 is out of range",
                          "key % 2**64"),
    "two dimensions": (np.ones((2, 2), np.int64), "2 dimensions",
                       "keys.reshape(-1)"),
    "ragged": ([[1], [2, 3]], "", "NumPy array"),
    "one number": (7, "0 dimensions", "keys.reshape(-1)"),
    "not contiguous and large": (np.zeros(2**19, np.uint64)[::2],
                                 "copied, 2 MiB", "ascontiguousarray"),
    "another type and large": (np.zeros(2**20, np.int32),
                               "copied, 4 MiB", "np.uint64"),
}

BAD_GRADS = {
    "float64": (np.ones((1, 4)), "type float64", "astype(np.float32)"),
    "integers": (np.ones((1, 4), np.int64), "type int64", "astype"),
    "another width": (np.ones((1, 3), np.float32), "shape (1, 3)",
                      "open the table that has this width"),
    "another length": (np.ones((2, 4), np.float32), "shape (2, 4)", "each key"),
    "flat": (np.ones(4, np.float32), "shape (4,)", "reshape(1, 4)"),
    "text": ([["a"] * 4], "type <U1", "astype"),
    "nothing": (None, "type object", "astype"),
    "NaN": (np.array([[0, np.nan, 0, 0]], np.float32), "holds a NaN",
            "look for a NaN"),
    "infinite": (np.array([[np.inf, 0, 0, 0]], np.float32), "holds a NaN",
                 "look for a NaN"),
}

BAD_OUTS = {
    "read-only": (read_only(np.empty((1, 4), np.float32)), "read-only"),
    "float64": (np.empty((1, 4)), "type float64"),
    "another shape": (np.empty((4, 1), np.float32), "shape (4, 1)"),
    "not contiguous": (np.empty((4, 1), np.float32).T[:, ::1],
                       None),  # a transposed column is contiguous: fine
    "strided": (np.empty((1, 8), np.float32)[:, ::2], "not contiguous"),
}


def explains(error, what, hint, applied):
    lines = str(error).split("\n")
    assert len(lines) == 4, error
    assert lines[0].startswith(f"{error.code}: ") and what in error.message
    assert lines[1].startswith("  tried: ") and error.table in lines[1]
    assert lines[2].startswith("  your data: ")
    assert lines[3].startswith("  fix: ") and hint in error.hint
    assert error.applied == applied


@pytest.mark.parametrize("case", BAD_KEYS)
def test_refuses_keys(table, case):
    keys, what, hint = BAD_KEYS[case]
    with pytest.raises(paramo.InvalidArgument) as error:
        table.pull(keys)
    explains(error.value, what, hint, None)
    with pytest.raises(paramo.InvalidArgument) as error:
        table.push(keys, ROW)
    explains(error.value, what, hint, "no")
    assert isinstance(error.value, ValueError)


@pytest.mark.parametrize("case", BAD_GRADS)
def test_refuses_gradients(table, case):
    grads, what, hint = BAD_GRADS[case]
    with pytest.raises(paramo.InvalidArgument) as error:
        table.push([1], grads)
    explains(error.value, what, hint, "no")
    assert (table.pull([1]) == 0).all()


def test_large_gradients_are_not_copied_unseen(cluster, name):
    table = cluster.table(name, dim=64)
    keys = np.arange(8192)
    with pytest.raises(paramo.InvalidArgument, match="copied, 2 MiB"):
        table.push(keys, np.zeros((64, 8192), np.float32).T)


@pytest.mark.parametrize("case", BAD_OUTS)
def test_refuses_outs(table, case):
    out, what = BAD_OUTS[case]
    if what is None:
        assert table.pull([1], out=out) is out
        return
    with pytest.raises(paramo.InvalidArgument) as error:
        table.pull([1], out=out)
    explains(error.value, what, "np.empty((1, 4), np.float32)"
             if "shape" not in what else "each key", None)


def test_read_only_input_is_fine(table):
    table.push(read_only(np.array([1])), read_only(np.ones((1, 4), np.float32)))


def test_another_spec_is_a_schema_mismatch(cluster, name):
    cluster.table(name, dim=4)
    with pytest.raises(paramo.SchemaMismatch) as error:
        cluster.table(name, dim=8)
    explains(error.value, "dim", "open it as it is", None)
    with pytest.raises(paramo.SchemaMismatch):
        cluster.table(name, dim=4, rule=paramo.Adam())


@pytest.mark.parametrize("call, kind, what", [
    (lambda c: c.table("none-such"), paramo.NotFound, "none-such"),
    (lambda c: c.table("Upper", dim=4), paramo.InvalidArgument, "name"),
    (lambda c: c.table("", dim=4), paramo.InvalidArgument, "name"),
    (lambda c: c.table("a", dim=0), paramo.InvalidArgument, "dim is 0"),
    (lambda c: c.table("a", dim=2.5), paramo.InvalidArgument, "dim is 2.5"),
    (lambda c: c.table("a", dim=4, rule="sgd"), paramo.InvalidArgument,
     "rule is 'sgd'"),
    (lambda c: c.table("a", dim=4, rule=paramo.SGD(lr=-1)),
     paramo.InvalidArgument, "lr"),
    (lambda c: c.table("a", rule=paramo.SGD()), paramo.InvalidArgument,
     "without a width"),
    (lambda c: c.table("a", dim=4, durability="no"), paramo.InvalidArgument,
     "durability"),
    (lambda c: c.dense("a", {"w": [1.0]}, durability="no"),
     paramo.InvalidArgument, "durability"),
    (lambda c: c.dense("a", {}), paramo.InvalidArgument, "no tensors"),
    (lambda c: c.table("a", dim=4).pull([1], deadline=0),
     paramo.InvalidArgument, "deadline is 0"),
    (lambda c: paramo.connect("nonsense"), paramo.InvalidArgument, "nonsense"),
    (lambda c: paramo.connect("127.0.0.1:1", timeout=0.3), paramo.Unavailable,
     "127.0.0.1:1"),
])
def test_refuses(cluster, call, kind, what):
    with pytest.raises(kind, match=what) as error:
        call(cluster)
    assert str(error.value).count("\n") == 3 and error.value.hint


def test_connects_to_nothing_without_an_address(monkeypatch):
    monkeypatch.delenv("PARAMO_ADDRESS", raising=False)
    with pytest.raises(paramo.InvalidArgument, match="PARAMO_ADDRESS"):
        paramo.connect()


def test_a_closed_cluster_says_so(address, name):
    with paramo.connect(address) as cluster:
        table = cluster.table(name, dim=4)
    assert cluster.closed and "closed" in repr(cluster)
    for call in (lambda: table.pull([1]), lambda: table.push([1], ROW),
                 lambda: table.pull_async([1]), lambda: cluster.table("a")):
        with pytest.raises(paramo.FailedPrecondition, match="closed") as error:
            call()
        assert "with" in error.value.hint
    cluster.close()  # more than once is harmless


def test_errors_survive_pickling(cluster):
    with pytest.raises(paramo.NotFound) as error:
        cluster.table("none-such")
    again = pickle.loads(pickle.dumps(error.value))
    assert type(again) is paramo.NotFound and str(again) == str(error.value)


def test_kinds_are_pythons_too():
    for kind, python in ((paramo.DeadlineExceeded, TimeoutError),
                         (paramo.Unavailable, ConnectionError),
                         (paramo.StaleRead, paramo.DeadlineExceeded),
                         (paramo.SessionExpired, paramo.FailedPrecondition),
                         (paramo.PermissionDenied, PermissionError)):
        assert issubclass(kind, python)


def test_missing_programs_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PARAMO_BIN", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(paramo.NotFound, match="paramo") as error:
        paramo.LocalCluster().start()
    assert "PARAMO_BIN" in error.value.hint
