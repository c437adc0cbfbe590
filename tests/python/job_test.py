"""Steps, data and sync policies of jobs, with several workers."""

import threading

import numpy as np
import pytest

import paramo


def in_threads(address, workers, work):
    """Runs work(cluster, number) on a connection of its own each; the first
    error is raised here."""
    answers = [None] * workers
    errors = []

    def body(number):
        try:
            with paramo.connect(address) as cluster:
                answers[number] = work(cluster, number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=body, args=(i,)) for i in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if errors:
        raise errors[0]
    return answers


@pytest.mark.parametrize("sync", [paramo.Async(), paramo.SSP(2), paramo.BSP()])
def test_every_example_once_per_epoch(address, name, sync):
    def work(cluster, _):
        table = cluster.table(name, dim=1, rule=paramo.SGD(lr=1))
        seen = []
        with cluster.job(f"{name}-job", sync=sync, workers=2) as job:
            for shard in job.shards(range(50), batch=8, epochs=2):
                table.push(shard.indices, np.ones((len(shard.indices), 1), "f"))
                job.clock()
                seen += [(shard.epoch, i) for i in shard.indices.tolist()]
        return seen

    seen = sum(in_threads(address, 2, work), [])
    assert sorted(seen) == [(e, i) for e in range(2) for i in range(50)]


def test_bsp_takes_the_mean_over_examples(address, name):
    """Two workers, one and three examples: (1 x 1 + 3 x 5) / 4 = 4."""
    def work(cluster, _):
        table = cluster.table(name, dim=2, rule=paramo.SGD(lr=1))
        with cluster.job(f"{name}-job", workers=2) as job:
            rank = job.rank
            assert (table.pull([1]) == 0).all()
            ack = table.push([1], np.full((1, 2), [1, 5][rank], np.float32))
            assert ack.accumulated == 1 and ack.applied == 0
            job.clock(examples=[1, 3][rank])
            return table.pull([1])

    for rows in in_threads(address, 2, work):
        np.testing.assert_array_equal(rows, [[-4, -4]])


def why_it_waits(table):
    """What a server says of a pull that it holds up. On a busy machine its word
    may come after the deadline, so it is asked more than once."""
    for _ in range(20):
        with pytest.raises(paramo.DeadlineExceeded) as error:
            table.pull([1], deadline=0.5)
        if isinstance(error.value, paramo.StaleRead):
            break
    return error.value


def test_ssp_bounds_staleness(address, name):
    """The quick worker may be two steps ahead, and is then held up."""
    slow_may_go = threading.Event()

    def work(cluster, number):
        table = cluster.table(name, dim=1)
        with cluster.job(f"{name}-job", sync=paramo.SSP(2), workers=2) as job:
            job.barrier("begin")
            if number == 0:
                slow_may_go.wait(30)
                for _ in range(3):
                    table.pull([1])
                    job.clock()
                job.barrier("end")
                return None
            acks = []
            for _ in range(3):
                table.pull([1])
                acks.append(table.push([1], np.ones((1, 1), "f")))
                job.clock()
            error = why_it_waits(table)
            slow_may_go.set()
            table.pull([1])
            job.barrier("end")
            return [ack.staleness for ack in acks], error

    staleness, error = in_threads(address, 2, work)[1]
    assert staleness == [0, 1, 2]
    assert isinstance(error, paramo.StaleRead), error
    assert "waits at clock 0 for workers" in error.message


def test_dense_and_rows_in_one_step(address, name):
    def work(cluster, _):
        dense = cluster.dense(name, {"b": np.zeros(3)}, rule=paramo.SGD(lr=1))
        table = cluster.table(f"{name}-rows", dim=1, rule=paramo.SGD(lr=1))
        with cluster.job(f"{name}-job", workers=2) as job:
            for step in range(3):
                assert (dense.pull()["b"] == -step).all()
                assert (table.pull([7]) == -step).all()
                dense.push({"b": np.ones(3, np.float32)})
                table.push([7], np.ones((1, 1), np.float32))
                job.clock()
            assert job.step == 3
        return True

    assert in_threads(address, 2, work) == [True, True]


@pytest.mark.parametrize("sync", [paramo.SSP(0), paramo.BSP()])
def test_who_joins_first_waits_for_the_others(address, name, sync):
    first_has_worked = threading.Event()

    def work(cluster, number):
        table = cluster.table(name, dim=1, rule=paramo.SGD(lr=1))
        if number == 1:
            first_has_worked.wait(30)
        with cluster.job(f"{name}-job", sync=sync, workers=2) as job:
            assert (table.pull([number]) == 0).all()
            table.push([number], np.ones((1, 1), np.float32))
            job.clock()
            if number == 0:
                error = why_it_waits(table)
                first_has_worked.set()
                assert "all its workers to join" in error.message
            return sorted(table.pull([0, 1])[:, 0])

    share = -1 if isinstance(sync, paramo.SSP) else -0.5
    assert in_threads(address, 2, work) == [[share, share]] * 2


def test_a_failed_worker_is_not_waited_for(address, name):
    def work(cluster, number):
        table = cluster.table(name, dim=1, rule=paramo.SGD(lr=1))
        try:
            with cluster.job(f"{name}-job", workers=2) as job:
                job.barrier("begin")
                if number == 0:
                    raise ZeroDivisionError()
                for _ in range(5):
                    table.pull([1])
                    table.push([1], np.ones((1, 1), "f"))
                    job.clock()
                return float(table.pull([1])[0, 0])
        except ZeroDivisionError:
            return "failed"

    assert in_threads(address, 2, work) == ["failed", -5.0]


def test_progress_has_a_length(cluster, name):
    with cluster.job(f"{name}-job") as job:
        shards = job.shards(10, batch=4, epochs=3)
        assert len(shards) == 9
        assert sum(1 for _ in shards if job.clock()) == 9


def test_misuse_says_what_to_do(cluster, name):
    job = cluster.job(f"{name}-job")
    with pytest.raises(paramo.FailedPrecondition, match="not entered"):
        job.clock()
    with job:
        with pytest.raises(paramo.FailedPrecondition, match="takes part"):
            cluster.job("another").__enter__()
        with pytest.raises(paramo.InvalidArgument, match="0 examples"):
            job.shards([])
        job.clock()
        with pytest.raises(paramo.FailedPrecondition, match="begun"):
            job.shards(10)
    with pytest.raises(paramo.SchemaMismatch, match="differ|sync"):
        with cluster.job(f"{name}-job", sync=paramo.SSP(1)) as job:
            job.clock()
