"""Modules for PyTorch, held against PyTorch's own."""

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

import paramo  # noqa: E402
from paramo.torch import (DistributedOptimizer, EmbeddingBags,  # noqa: E402
                          prefetch)

BAGS = {"a": (torch.tensor([3, 1, 3, 7]), torch.tensor([0, 2, 3])),
        # As many bags as values, and yet two are empty.
        "b": (torch.tensor([5, 5, 5]), torch.tensor([0, 3, 3]))}


def names(name):
    return {f"{name}-a": "a", f"{name}-b": "b"}


def bags_of(name, bags=None):
    return {long: (bags or BAGS)[short] for long, short in names(name).items()}


@pytest.mark.parametrize("mode", ["sum", "mean"])
@pytest.mark.parametrize("rule", ["SGD", "Adagrad"])
def test_embeddings_train_as_torchs_do(cluster, name, mode, rule):
    """Three steps on bags with duplicates, here and in torch."""
    emb = EmbeddingBags(cluster, dict.fromkeys(names(name), 4), mode=mode,
                        rule=getattr(paramo, rule)(lr=0.1),
                        init=paramo.Uniform(1))
    plain = emb.export(dict.fromkeys(names(name), 10))
    optimizer = getattr(torch.optim, rule)(plain.parameters(), lr=0.1)
    weights = torch.linspace(-1, 1, 12).reshape(3, 4)
    for _ in range(3):
        ours = emb(bags_of(name))
        theirs = {table: plain[table](*bag)
                  for table, bag in bags_of(name).items()}
        for table in ours:
            torch.testing.assert_close(ours[table], theirs[table])
        for out in (ours, theirs):
            loss = sum((bag * weights).pow(2).sum() for bag in out.values())
            optimizer.zero_grad()
            loss.backward()
        optimizer.step()
    exported = emb.export(dict.fromkeys(names(name), 10))
    for table in names(name):
        torch.testing.assert_close(exported[table].weight, plain[table].weight)


def test_evaluation_pushes_nothing(cluster, name):
    emb = EmbeddingBags(cluster, dict.fromkeys(names(name), 4))
    before = cluster.stats["pushes"]
    with torch.no_grad():
        assert not emb(bags_of(name))[f"{name}-a"].requires_grad
    emb.flush()
    assert cluster.stats["pushes"] == before


def test_a_table_that_the_loss_does_not_use_stops_nothing(cluster, name):
    emb = EmbeddingBags(cluster, dict.fromkeys(names(name), 4),
                        rule=paramo.SGD(lr=1))
    emb(bags_of(name))[f"{name}-b"].sum().backward()
    emb.flush()
    assert (cluster.table(f"{name}-b").pull([5]) == -3).all()
    assert (cluster.table(f"{name}-a").pull([3]) == 0).all()


def test_each_backward_pushes_what_it_reached(cluster, name):
    emb = EmbeddingBags(cluster, dict.fromkeys(names(name), 4),
                        rule=paramo.SGD(lr=1))
    out = emb(bags_of(name))
    out[f"{name}-a"].sum().backward(retain_graph=True)
    (2 * out[f"{name}-b"]).sum().backward()
    emb.flush()
    assert (cluster.table(f"{name}-a").pull([3]) == -2).all()
    assert (cluster.table(f"{name}-b").pull([5]) == -6).all()


def test_prefetch_gives_every_batch_and_its_rows(cluster, name):
    emb = EmbeddingBags(cluster, {name: 2}, rule=paramo.SGD(lr=1))
    offsets = torch.tensor([0])
    loader = [({name: (torch.tensor([i]), offsets)}, i) for i in range(7)]
    seen = []
    for (_, i), pulled in prefetch(loader, emb, depth=2):
        emb(pulled)[name].sum().backward()
        seen.append(i)
    emb.flush()
    assert seen == list(range(7))
    assert (cluster.table(name).pull(range(7)) == -1).all()


class Scaler:
    """What of torch.amp.GradScaler counts here; torch's own needs a GPU."""

    def get_scale(self):
        return 1024.0


def test_scaled_gradients_are_unscaled_and_infinite_ones_skipped(cluster, name):
    emb = EmbeddingBags(cluster, {name: 2}, rule=paramo.SGD(lr=1),
                        scaler=Scaler())
    bag = {name: (torch.tensor([1]), torch.tensor([0]))}
    (emb(bag)[name].sum() * 1024).backward()
    (emb(bag)[name].sum() * torch.inf).backward()
    emb.flush()
    assert emb.skipped == 1
    assert (cluster.table(name).pull([1]) == -1).all()


def test_without_a_scaler_an_infinite_gradient_is_an_error(cluster, name):
    emb = EmbeddingBags(cluster, {name: 2})
    bag = {name: (torch.tensor([1]), torch.tensor([0]))}
    (emb(bag)[name].sum() * torch.inf).backward()
    with pytest.raises(paramo.InvalidArgument, match="infinity"):
        emb.flush()


def test_refuses_what_is_no_key(cluster, name):
    emb = EmbeddingBags(cluster, {name: 2})
    offsets = torch.tensor([0])
    with pytest.raises(paramo.InvalidArgument, match="float"):
        emb({name: (torch.tensor([1.0]), offsets)})
    with pytest.raises(paramo.InvalidArgument, match="negative"):
        emb({name: (torch.tensor([-1]), offsets)})
    with pytest.raises(paramo.InvalidArgument, match="no table"):
        emb({"other": (torch.tensor([1]), offsets)})
    with pytest.raises(paramo.InvalidArgument, match="mode"):
        EmbeddingBags(cluster, {name: 2}, mode="max")


def test_tensors_are_arrays(cluster, name):
    table = cluster.table(name, dim=2, rule=paramo.SGD(lr=1))
    table.push(torch.tensor([1]), torch.ones(1, 2))
    out = torch.empty(1, 2)
    assert table.pull(torch.tensor([1]), out=out) is out
    assert out.eq(-1).all()
    assert torch.from_dlpack(table.pull([1])).eq(-1).all()
    with pytest.raises(paramo.InvalidArgument, match="share"):
        table.push([1], torch.ones(1, 2, requires_grad=True))


# ---- Dense ------------------------------------------------------------------


def mlp(seed=1):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(),
                               torch.nn.Linear(7, 1))


@pytest.mark.parametrize("make", [
    lambda p: torch.optim.SGD(p, lr=0.1),
    lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    lambda p: torch.optim.Adagrad(p, lr=0.1),
    lambda p: torch.optim.Adam(p, lr=0.1),
    lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1),
])
def test_an_optimizer_steps_as_torchs_does(cluster, name, make):
    local, remote = mlp(), mlp(seed=1)
    theirs = make(local.parameters())
    ours = DistributedOptimizer(make(remote.parameters()), cluster, name=name)
    inputs = torch.linspace(-1, 1, 40).reshape(8, 5)
    for _ in range(5):
        for model, optimizer in ((local, theirs), (remote, ours)):
            optimizer.zero_grad()
            model(inputs).pow(2).mean().backward()
            optimizer.step()
    for one, other in zip(local.parameters(), remote.parameters()):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_workers_begin_at_the_first_ones_values(cluster, name):
    first, second = mlp(seed=1), mlp(seed=2)
    for model in (first, second):
        DistributedOptimizer(torch.optim.SGD(model.parameters(), lr=1), cluster,
                             name=name)
    for one, other in zip(first.parameters(), second.parameters()):
        assert torch.equal(one, other)


@pytest.mark.parametrize("make", [
    lambda p: torch.optim.RMSprop(p),
    lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.1),
    lambda p: torch.optim.Adam(p, amsgrad=True),
])
def test_refuses_other_optimizers_with_the_list(cluster, name, make):
    with pytest.raises(paramo.InvalidArgument) as error:
        DistributedOptimizer(make(mlp().parameters()), cluster, name=name)
    assert "AdamW" in error.value.hint


def test_a_scheduler_of_torch_is_refused(cluster, name):
    model = mlp()
    ours = DistributedOptimizer(torch.optim.SGD(model.parameters(), lr=1),
                                cluster, name=name)
    ours.optimizer.param_groups[0]["lr"] = 0.5
    with pytest.raises(paramo.InvalidArgument, match="changed") as error:
        ours.step()
    assert "schedules" in error.value.hint


def test_forked_workers_of_a_data_loader_are_told_what_to_do(address):
    class Rows(torch.utils.data.Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            with paramo.connect(address) as cluster:
                return cluster.shards

    loader = torch.utils.data.DataLoader(Rows(), num_workers=1)
    with pytest.raises(paramo.FailedPrecondition, match="fork"):
        with paramo.connect(address):
            list(loader)
