"""Pulls and pushes give what the servers hold, whatever the arrays' kind."""

import asyncio
import concurrent.futures
import threading
import tracemalloc

import numpy as np
import pytest

import paramo


def test_pulls_any_order_with_duplicates(table):
    ack = table.push([5, 3, 5], np.arange(12, dtype=np.float32).reshape(3, 4))
    assert ack.replicas in (1, 2) and ack.staleness == 0 and ack.lsn > 0
    rows = table.pull(np.array([3, 5, 3, 99], np.uint64))
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(
        rows, [[-4, -5, -6, -7], [-8, -10, -12, -14], [-4, -5, -6, -7],
               [0, 0, 0, 0]])


def test_takes_every_kind_of_integer_key(table):
    table.push([1, 2], np.ones((2, 4), np.float32))
    for keys in ([1, 2], (1, 2), range(1, 3), np.array([1, 2]),
                 np.array([1, 2], np.uint8), np.array([1, 2], np.int32),
                 np.array([1, 2], ">u8"), np.array([1, 0, 2, 0])[::2]):
        np.testing.assert_array_equal(table.pull(keys), -np.ones((2, 4)))


def test_keys_reach_over_the_whole_range(table):
    keys = [0, 2**63 - 1, 2**63, 2**64 - 1]
    table.push(keys, np.ones((4, 4), np.float32))
    assert table.pull(np.array(keys, np.uint64)).sum() == -16


def test_no_keys_are_no_rows(table):
    assert table.pull([]).shape == (0, 4)
    ack = table.push([], np.empty((0, 4), np.float32))
    assert ack.applied == 0


def test_initializer_and_rule_are_the_tables(cluster, name):
    table = cluster.table(name, dim=3, rule=paramo.Adagrad(lr=1, eps=1),
                          init=paramo.Constant(2))
    assert (table.pull([8]) == 2).all()
    table.push([8], np.full((1, 3), 3, np.float32))
    np.testing.assert_allclose(table.pull([8]), 2 - 3 / (3 + 1))
    assert "adagrad(eps=1, lr=1)" in repr(table)
    assert "adagrad" in table._repr_html_()


# ---- Codecs -----------------------------------------------------------------


@pytest.mark.parametrize("codec", ["f32", "f16", "bf16", "int8"])
def test_values_travel_in_the_tables_codec(cluster, name, codec):
    table = cluster.table(name, dim=3, rule=paramo.SGD(lr=1), codec=codec)
    assert table.codec == cluster.table(name).codec == codec
    table.push([1, 2], np.array([[127, -64, 0]] * 2, np.float32))
    np.testing.assert_array_equal(table.pull([2]), [[-127, 64, 0]])


def test_a_call_names_its_own_codec(table):
    table.push([1], np.full((1, 4), 1 + 2**-9, np.float32))
    assert (table.pull([1], codec="bf16") == -1).all()
    assert (table.pull_async([1], codec="bf16").result() == -1).all()
    assert (table.pull([1]) == -1 - 2**-9).all()
    table.push([2], np.full((1, 4), 1 + 2**-9, np.float32), codec="bf16")
    table.push_async([2], np.ones((1, 4), np.float32), codec="int8").result()
    assert (table.pull([2]) == -2).all()


def test_first_values_are_exact(cluster, name):
    first = np.random.default_rng(5).normal(size=(30, 7)).astype(np.float32)
    dense = cluster.dense(name, {"w": first}, codec="int8")
    np.testing.assert_array_equal(dense.pull(codec="f32")["w"], first)
    step = np.abs(first).max() / 127
    np.testing.assert_allclose(dense.pull()["w"], first, atol=0.51 * step)


def test_an_unknown_codec_is_refused_with_those_there_are(table):
    for call in (lambda: table.push([1], np.ones((1, 4), np.float32),
                                    codec="f64"),
                 lambda: table.pull([1], codec="f64")):
        with pytest.raises(paramo.InvalidArgument,
                           match=r"use one of f32 \(0\)"):
            call()


# ---- Memory budget ----------------------------------------------------------

def test_a_table_has_the_memory_budget_it_was_made_with(cluster, name):
    table = cluster.table(name, dim=2, memory_budget=1 << 40)
    table.push([7], np.ones((1, 2), np.float32))
    cluster.table(name, dim=2, memory_budget=1 << 40)
    with pytest.raises(paramo.SchemaMismatch, match="memory_budget"):
        cluster.table(name, dim=2)


def test_a_memory_budget_is_a_number_of_bytes(cluster, name):
    for budget in (-1, 0.5, 1 << 64):
        with pytest.raises(paramo.InvalidArgument, match="memory_budget is"):
            cluster.table(name, dim=2, memory_budget=budget)


# ---- Memory -----------------------------------------------------------------

_KEYS = np.arange(50_000, dtype=np.uint64)


def _allocated(call):
    """Bytes that Python and NumPy allocated at most, at one time."""
    call()  # whatever is made once
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_pull_into_out_and_push_copy_nothing(cluster, name):
    table = cluster.table(name, dim=16)
    rows = np.zeros((len(_KEYS), 16), np.float32)
    assert table.pull(_KEYS, out=rows) is rows
    assert _allocated(lambda: table.pull(_KEYS, out=rows)) < 20_000
    assert _allocated(lambda: table.push(_KEYS, rows)) < 20_000
    signed = _KEYS.view(np.int64)
    assert _allocated(lambda: table.push(signed, rows)) < 20_000


def test_the_count_sees_a_copy(cluster, name):
    table = cluster.table(name, dim=16)
    rows = np.zeros((len(_KEYS), 16), np.float32)
    assert _allocated(lambda: table.push(_KEYS.copy(), rows)) > _KEYS.nbytes
    assert _allocated(lambda: table.pull(_KEYS)) > rows.nbytes


def test_dlpack_tensors_are_not_copied(table):
    class Tensor:
        """What another library's tensor shows: no buffer, only DLPack."""

        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **options):
            return self.array.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    table.push(Tensor(np.array([4])), Tensor(np.ones((1, 4), np.float32)))
    rows = np.from_dlpack(table.pull(Tensor(np.array([4]))))
    np.testing.assert_array_equal(rows, -np.ones((1, 4)))
    with pytest.raises(paramo.InvalidArgument, match="cannot be written"):
        table.pull([4], out=Tensor(np.empty((1, 4), np.float32)))


# ---- Futures ----------------------------------------------------------------


def test_futures_are_concurrent_futures(table):
    acks = [table.push_async([i], np.ones((1, 4), np.float32))
            for i in range(8)]
    done, _ = concurrent.futures.wait(acks, timeout=30)
    assert len(done) == 8 and all(ack.result().applied == 1 for ack in acks)
    assert not acks[0].cancel()
    rows = np.empty((8, 4), np.float32)
    assert table.pull_async(range(8), out=rows).result(30) is rows
    assert (rows == -1).all()


def test_futures_can_be_awaited(table):
    async def train():
        await table.push_async([1], np.ones((1, 4), np.float32))
        return await asyncio.gather(table.pull_async([1]),
                                    table.pull_async([1, 2]))

    one, two = asyncio.run(train())
    assert one.shape == (1, 4) and (two[0] == -1).all()


def test_an_errors_future_raises_it(cluster, name):
    table = cluster.table(name, dim=2)
    nan = np.full((1, 2), np.nan, np.float32)
    with pytest.raises(paramo.InvalidArgument, match="NaN"):
        table.push_async([1], nan).result(30)
    cluster.drop(name)
    with pytest.raises(paramo.NotFound):
        table.pull_async([1]).result(30)


def test_threads_run_beside_a_call(table):
    """The GIL is free during a call: many threads make calls at a time."""
    def work(_):
        return table.push([9], np.ones((1, 4), np.float32)).applied

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(200))) == 200
    assert table.pull([9])[0, 0] == -200


def test_the_gil_is_free_while_a_call_waits(cluster, address, name):
    """A pull that waits for another worker lets this thread go on."""
    table = cluster.table(name, dim=1)
    errors = []

    def wait_for_the_round(other):
        with other.job(f"{name}-job", workers=2) as job:
            job.barrier("begin")
            job.clock()
            try:
                other.table(name).pull([1], deadline=1.0)
            except paramo.DeadlineExceeded as error:
                errors.append(error)

    with paramo.connect(address) as other, \
            cluster.job(f"{name}-job", workers=2) as job:
        thread = threading.Thread(target=wait_for_the_round, args=(other,))
        thread.start()
        job.barrier("begin")
        ticks = 0
        while thread.is_alive():
            ticks += 1
            thread.join(0.01)
    assert ticks > 20 and len(errors) == 1 and table.dim == 1


# ---- Tensors ----------------------------------------------------------------


def test_dense_begins_at_the_first_comers_values(cluster, name):
    w, b = np.random.default_rng(3).random((300, 7)), np.ones(5)
    dense = cluster.dense(name, {"w": w, "b": b}, rule=paramo.Adam(lr=0.1))
    late = cluster.dense(name, {"w": 0 * w, "b": 0 * b},
                         rule=paramo.Adam(lr=0.1))
    np.testing.assert_array_equal(late.pull()["w"], w.astype(np.float32))
    dense.push({"b": np.full(5, 3, np.float32)})
    np.testing.assert_allclose(dense.pull()["b"], 0.9, rtol=1e-6)
    out = {"b": np.empty(5, np.float32)}
    assert dense.pull_async(out).result(30)["b"] is out["b"]
    assert (out["b"] < 0.91).all()
    assert "w[300, 7]" in repr(dense)
