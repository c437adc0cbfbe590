"""Ctrl-C, forks, servers that stop or die, and what is left behind."""

import contextlib
import glob
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import paramo

ROW = np.ones((1, 4), np.float32)


def start(script, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, **environment})


def run(script, **environment):
    process = start(script, **environment)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def wait_until(condition, within=30.0):
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


def state(stat):
    """"R", "S", "T" (stopped), "Z" of a process or thread; "" when gone."""
    try:
        return pathlib.Path(stat).read_text("ascii").rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def alive(pid):
    return state(f"/proc/{pid}/stat") not in ("", "Z")


@contextlib.contextmanager
def stopped(pids):
    """SIGSTOP, until every thread has stopped; SIGCONT at the end."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: all(
            state(stat) == "T" for pid in pids
            for stat in glob.glob(f"/proc/{pid}/task/*/stat")))
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.fixture
def own():
    """A cluster that a test may hurt."""
    with paramo.LocalCluster(servers=3, replicas=2, shards=8) as local:
        yield local


def server_pids(local):
    return [one["pid"] for one in local.processes if "server" in one["process"]]


# ---- Ctrl-C -----------------------------------------------------------------


def interrupted_after(call):
    """Seconds from a SIGINT of this process to the end of `call`."""
    sent = []

    def interrupt():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Timer(0.5, interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        call()
    return time.monotonic() - sent[0]


def test_ctrl_c_ends_every_kind_of_call_within_100_ms(own):
    with paramo.connect(own) as cluster:
        table = cluster.table("ctrl-c", dim=4)
        table.push(range(100), np.ones((100, 4), np.float32))
        with stopped([one["pid"] for one in own.processes]):
            rows = np.empty((100, 4), np.float32)
            for call in (lambda: table.pull(range(100), deadline=20),
                         lambda: table.pull(range(100), out=rows),
                         lambda: table.push([1], ROW),
                         lambda: cluster.table("more", dim=4),
                         lambda: table.pull_async([1]).result(),
                         lambda: paramo.connect(own.address)):
                assert interrupted_after(call) < 0.15  # 0.1 and a busy machine
        # The connection is as good as before.
        assert table.pull([5], deadline=20).shape == (1, 4)


# ---- Forks ------------------------------------------------------------------

IN_A_FORK = """
    import os, sys, numpy as np, paramo
    cluster = paramo.connect()
    table = cluster.table("fork", dim=4)
    table.pull([1])
    if os.fork() == 0:
        for call in (lambda: table.pull([1]), lambda: cluster.table("more"),
                     lambda: table.push_async([1], np.ones((1, 4), "f")),
                     paramo.connect):
            try:
                call()
            except paramo.FailedPrecondition as error:
                assert "fork" in error.message and "spawn" in error.hint
            else:
                raise AssertionError("no error")
        assert "forked" in repr(cluster)
        cluster.close()
        del table, cluster
        print("refused", flush=True)
        sys.exit()
    assert os.wait()[1] == 0
    assert table.pull([1]).shape == (1, 4)
    print("and the parent goes on")
"""


def test_a_fork_of_a_connected_process_is_refused(address):
    assert run(IN_A_FORK, PARAMO_ADDRESS=address).split("\n")[:2] == [
        "refused", "and the parent goes on"]


def test_a_fork_before_the_first_connection_connects(address):
    out = run("""
        import os, paramo
        if os.fork() == 0:
            with paramo.connect() as cluster:
                print(cluster.shards, flush=True)
            os._exit(0)
        assert os.wait()[1] == 0
        """, PARAMO_ADDRESS=address)
    assert out == "8\n"


# ---- Ends of processes ------------------------------------------------------


def test_an_open_connection_does_not_hold_up_the_end(address):
    started = time.monotonic()
    run("""
        import numpy as np, paramo
        cluster = paramo.connect()
        table = cluster.table("end", dim=4)
        futures = [table.push_async([i], np.ones((1, 4), np.float32))
                   for i in range(100)]
        """, PARAMO_ADDRESS=address)
    assert time.monotonic() - started < 10


HOLDS_A_CLUSTER = """
    import os, sys, time, paramo
    local = paramo.LocalCluster(servers=1, shards=8).start()
    print(*(one["pid"] for one in local.processes), local._process.pid,
          flush=True)
    if os.fork() == 0:  # a worker that outlives its parent
        os.close(1)
        time.sleep(60)
        os._exit(0)
    {end}
    time.sleep(60)
"""


@pytest.mark.parametrize("end, signals", [
    ("sys.exit(3)", []), ("raise RuntimeError()", []), ("os._exit(0)", []),
    ("os.abort()", []), ("pass", [signal.SIGKILL]), ("pass", [signal.SIGTERM]),
])
def test_no_process_is_left_behind_however_python_ends(end, signals):
    process = start(HOLDS_A_CLUSTER.format(end=end))
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) == 3
    for one in signals:
        process.send_signal(one)
    process.wait(30)
    process.stdout.close()
    process.stderr.close()
    wait_until(lambda: not any(map(alive, pids)))


def test_a_local_cluster_ends_with_its_connection():
    with paramo.connect(paramo.LocalCluster(servers=1, shards=8)) as cluster:
        pids = [one["pid"] for one in cluster._local.processes]
        assert all(map(alive, pids)) and "1 servers" in repr(cluster._local)
        assert cluster._local._repr_html_().count("<tr>") == 2
    assert not any(map(alive, pids))


def test_why_a_local_cluster_does_not_start():
    with pytest.raises(paramo.FailedPrecondition, match="power of two"):
        paramo.LocalCluster(shards=7).start()


# ---- Servers ----------------------------------------------------------------


def test_a_stopped_cluster_is_an_error_within_the_deadline(own):
    with paramo.connect(own) as cluster:
        table = cluster.table("stop", dim=4)
        keys = range(64)
        table.push(keys, np.ones((64, 4), np.float32))
        with stopped(server_pids(own)):
            for call, applied in (
                    (lambda: table.pull(keys, deadline=1.0), None),
                    (lambda: table.push(keys, np.ones((64, 4), np.float32),
                                        deadline=1.0), "unknown"),
                    (lambda: table.pull_async(keys, deadline=1.0).result(),
                     None)):
                begun = time.monotonic()
                with pytest.raises(paramo.DeadlineExceeded) as error:
                    call()
                assert 0.9 < time.monotonic() - begun < 1.5
                assert error.value.applied == applied
                assert error.value.table == "stop"
                assert str(error.value).count("\n") == 3


def test_a_loop_does_not_notice_the_death_of_a_server(own):
    with paramo.connect(own) as cluster:
        table = cluster.table("kill", dim=4, rule=paramo.SGD(lr=1))
        keys = range(64)
        wait_until(lambda: table.push(range(100, 200),
                                      np.ones((100, 4), np.float32)
                                      ).replicas == 2)
        for step in range(60):
            if step == 20:
                os.kill(server_pids(own)[0], signal.SIGKILL)
            table.push(keys, np.ones((64, 4), np.float32))
            assert (table.pull(keys) == -(step + 1)).all()


# ---- Importing --------------------------------------------------------------


def test_import_is_quick_and_brings_little():
    out = run("""
        import sys, time, numpy
        begun = time.process_time()
        import paramo
        print(time.process_time() - begun)
        print(*[name for name in ("torch", "asyncio", "pytest")
                if name in sys.modules])
        """)
    seconds, modules = out.split("\n")[:2]
    assert float(seconds) < 0.15 and modules == ""
