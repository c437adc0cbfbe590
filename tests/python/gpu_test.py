"""Arrays of a GPU, in and out; without one, what is said of it."""

import ctypes

import numpy as np
import pytest

import paramo
from paramo import InvalidArgument, SchemaMismatch

try:
    import torch
    has_gpu = torch.cuda.is_available()
except ImportError:
    has_gpu = False

needs_gpu = pytest.mark.skipif(not has_gpu,
                               reason="no torch with an NVIDIA GPU here")


def has_driver():
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


class Elsewhere:
    """An array in memory that is not the host's."""

    def __init__(self, kind):
        self.kind = kind

    def __dlpack_device__(self):
        return (self.kind, 0)

    def __dlpack__(self, *, stream=None):
        raise RuntimeError(f"asked for on stream {stream}")


@pytest.mark.skipif(has_driver(), reason="there is a driver here")
def test_without_a_driver_an_array_of_a_gpu_is_refused_with_the_reason(table):
    for call in (lambda: table.pull(Elsewhere(2)),
                 lambda: table.push([1], Elsewhere(2)),
                 lambda: table.pull([1], out=Elsewhere(2))):
        with pytest.raises(InvalidArgument, match="array of a GPU.*libcuda") as e:
            call()
        assert ".cpu()" in e.value.hint


def test_memory_of_other_devices_is_refused(table):
    with pytest.raises(InvalidArgument, match="neither .* NVIDIA GPU") as e:
        table.push([1], Elsewhere(10))  # kDLROCM
    assert ".cpu()" in e.value.hint


def gpu(array):
    return torch.from_numpy(np.ascontiguousarray(array)).to("cuda")


@needs_gpu
def test_keys_gradients_and_rows_on_a_gpu(table):
    keys = gpu(np.array([5, 3, 5], np.int64))
    table.push(keys, torch.ones(3, 4, device="cuda"))
    rows = torch.full((3, 4), 7.0, device="cuda")
    assert table.pull(keys, out=rows) is rows
    assert rows.cpu().tolist() == [[-2.0] * 4, [-1.0] * 4, [-2.0] * 4]
    assert (table.pull(keys) == rows.cpu().numpy()).all()  # to the host


def long_work(products=60):
    """Some 100 ms of it, queued: the identity."""
    work = torch.eye(4096, device="cuda")
    for _ in range(products):
        work = work @ work
    return work


# The first call makes what makes GPUs wait by itself: pinned memory, cuBLAS.
TURNS = 3


@needs_gpu
def test_a_copy_waits_for_the_stream_that_computes_the_array(cluster, name):
    stream = torch.cuda.Stream()
    for turn in range(TURNS):
        table = cluster.table(f"{name}-{turn}", dim=4, rule=paramo.SGD(lr=1))
        with torch.cuda.stream(stream):
            grads = torch.zeros(1024, 4, device="cuda")
            grads += long_work()[:1024, :4]
            table.push(np.arange(1024), grads)
        assert (table.pull(np.arange(1024)) == -np.eye(1024, 4)).all(), turn


@needs_gpu
def test_a_pull_waits_for_what_still_writes_its_place(table):
    table.push(np.arange(1024), np.ones((1024, 4), np.float32))
    for turn in range(TURNS):
        out = torch.empty(1024, 4, device="cuda")
        out.copy_(long_work()[:1024, :4])
        table.pull(np.arange(1024), out=out)
        assert out.sum().item() == -4096, turn


@needs_gpu
def test_async_calls_and_tensors(cluster, table, name):
    keys = torch.arange(100, device="cuda")
    out = torch.empty(100, 4, device="cuda")
    table.push_async(keys, torch.ones(100, 4, device="cuda")).result()
    assert table.pull_async(keys, out=out).result() is out
    assert out.sum().item() == -400
    dense = cluster.dense(f"{name}-d", {"w": torch.ones(3, 5, device="cuda")},
                          rule=paramo.SGD(lr=1))
    dense.push({"w": torch.full((3, 5), 0.5, device="cuda")})
    w = torch.empty(3, 5, device="cuda")
    dense.pull({"w": w})
    assert w.tolist() == [[0.5] * 5] * 3


@needs_gpu
def test_bad_arrays_of_a_gpu_are_refused(table):
    grads = torch.ones(2, 4, device="cuda")
    for call, message in (
            (lambda: table.push([1, 2], torch.ones(4, 2, device="cuda").t()),
             "not contiguous on its GPU"),
            (lambda: table.push([1, 2], grads.bfloat16()), "bfloat16"),
            (lambda: table.push([1, 2], grads.requires_grad_()), "gradient"),
            (lambda: table.pull([1, 2], out=torch.empty(
                2, 4, device="cuda", dtype=torch.float16)), "float16"),
            (lambda: table.push(torch.ones(2, device="cuda"), np.ones(
                (2, 4), np.float32)), "integers"),
            (lambda: table.push(torch.tensor([-1, 2], device="cuda"), np.ones(
                (2, 4), np.float32)), "negative")):
        with pytest.raises(InvalidArgument, match=message):
            call()
    with pytest.raises(SchemaMismatch, match="shape"):
        table.pull([1, 2], out=torch.empty(3, 4, device="cuda"))
    empty = torch.empty(0, 4, device="cuda")
    table.pull(torch.empty(0, dtype=torch.long, device="cuda"), out=empty)


@needs_gpu
def test_embeddings_on_a_gpu_train_as_on_the_cpu(cluster, name):
    from paramo.torch import DistributedOptimizer, EmbeddingBags

    def train(device):
        table = f"{name}-{device}"
        emb = EmbeddingBags(cluster, {table: 4}, rule=paramo.SGD(lr=0.5),
                            init=paramo.Uniform(1), seed=3)
        torch.manual_seed(1)
        model = torch.nn.Linear(4, 1).to(device)
        optimizer = DistributedOptimizer(
            torch.optim.SGD(model.parameters(), lr=0.1), cluster,
            name=f"{table}-dense")
        bags = {table: (torch.tensor([1, 9, 1, 4], device=device),
                        torch.tensor([0, 1, 3], device=device))}
        for _ in range(3):
            out = emb(bags)[table]
            assert out.device.type == device
            model(out).pow(2).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        emb.flush()
        return (emb.tables[table].pull([1, 4, 9]),
                model.weight.detach().cpu().numpy())

    for ours, theirs in zip(train("cuda"), train("cpu")):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
