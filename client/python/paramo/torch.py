"""Keep your training loop, swap the embeddings: modules for PyTorch.

    emb = EmbeddingBags(cluster, {"user": 16, "item": 16},
                        rule=paramo.Adagrad(lr=0.05))
    bags = emb({"user": (values, offsets), "item": (values, offsets)})
    loss(model(bags)).backward()        # gradients leave in backward

Imported on demand: the rest of the package needs no torch.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

import paramo
from paramo.arrays import Context
from paramo.errors import InvalidArgument
from paramo.futures import Future
from paramo.rules import Initializer, Rule, Sync
from paramo.table import Ack, Table

# A bag per offset, as nn.EmbeddingBag has them: values [n] int64, offsets [b].
Bags = Mapping[str, tuple[Tensor, Tensor]]


class Pulled:
    """Rows on their way for one batch; made by `EmbeddingBags.fetch`."""

    def __init__(self, bags: Bags, keys: dict[str, Tensor],
                 inverse: dict[str, Tensor],
                 rows: Future[dict[str, Tensor]]) -> None:
        self.bags = bags
        self.keys = keys        # distinct ones, ascending
        self.inverse = inverse  # of each value, its position in keys
        self.rows = rows


class _Lookup(torch.autograd.Function):
    """Rows into bags, all tables in one node of the graph; what comes back are
    the gradients of the bags, those of rows are made of them and pushed.

    Cheaper than a graph of `embedding_bag`s, whose gradients sort the keys that
    `fetch` has sorted already.
    """

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, module: EmbeddingBags,
                pulled: Pulled, rows: dict[str, Tensor]
                ) -> tuple[Tensor, ...]:
        ctx.module, ctx.pulled = module, pulled
        ctx.set_materialize_grads(False)  # None: the loss does not use the table
        return tuple(
            nn.functional.embedding_bag(pulled.inverse[name], rows[name],
                                        offsets, mode=module.mode)
            for name, (_, offsets) in pulled.bags.items())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[None, ...]:
        ctx.module._push_grads(ctx.pulled, grads)
        return None, None, None, None


class EmbeddingBags(nn.Module):
    """Tables of embeddings that live in a cluster.

    Forward pulls the distinct rows of a batch, all tables in one request per
    server, and sums them into bags on this side. Backward pushes their
    gradients, de-duplicated and summed, without waiting; the next `forward`,
    which waits for them unless its rows were fetched ahead, or `flush` raises
    what went wrong. Tables update by their own rule, so no
    optimizer knows of them. Under `torch.no_grad` nothing is pushed and no row
    created.

    Args:
        cluster: an open `paramo.Cluster`.
        dims: width of each table by name.
        rule, init: of all of them, as `Cluster.table` takes them.
        mode: "sum" or "mean" of a bag's rows.
        scaler: the `torch.amp.GradScaler` of the loop if there is one: pushed
            gradients are divided by its scale, and a batch in which one is not
            finite is not pushed (`skipped` counts them), as it does.
        in_flight: pushes that may be unanswered; the next one waits.
    """

    def __init__(self, cluster: paramo.Cluster, dims: Mapping[str, int], *,
                 rule: Rule | None = None, init: Initializer | None = None,
                 mode: str = "sum", seed: int = 0, scaler: Any = None,
                 in_flight: int = 8) -> None:
        super().__init__()
        if mode not in ("sum", "mean"):
            raise InvalidArgument(f"mode is {mode!r}", action="make embeddings",
                                  hint='mode="sum" or mode="mean"')
        self.cluster = cluster
        self.mode = mode
        self.scaler = scaler
        self.skipped = 0
        self.tables: dict[str, Table] = {
            name: cluster.table(name, dim=dim, rule=rule, init=init, seed=seed)
            for name, dim in dims.items()}
        self._in_flight = in_flight
        self._pushes: deque[Future[Ack]] = deque()
        # What makes the graph go through _Lookup: rows are no leaves of it.
        self._anchor = torch.empty(0, requires_grad=True)

    def fetch(self, bags: Bags) -> Pulled:
        """Begins to pull the rows of a batch; `forward` takes the answer."""
        keys, inverse, parts, rows = {}, {}, [], {}
        for name, (values, _) in bags.items():
            keys[name], inverse[name] = torch.unique(
                self._checked(name, values), return_inverse=True)
            table = self._table(name)
            rows[name] = torch.empty(len(keys[name]), table.dim,
                                     dtype=torch.float32, device=values.device)
            parts.append(table._pull_part(_array(keys[name]),
                                          _array(rows[name]))[0])
        return Pulled(bags, keys, inverse,
                      self.cluster._pull_async(parts, rows, None))

    def forward(self, bags: Bags | Pulled) -> dict[str, Tensor]:
        """[b, dim] float32 by table, for (values [n], offsets [b]) by table."""
        if isinstance(bags, Pulled):
            pulled = bags
        else:
            self.flush()  # these rows are to have seen the step before
            pulled = self.fetch(bags)
        summed = _Lookup.apply(self._anchor, self, pulled,
                               pulled.rows.result())
        return dict(zip(pulled.bags, summed))

    def flush(self) -> None:
        """Waits until every push is answered; raises the first one's error."""
        while self._pushes:
            self._pushes.popleft().result()

    def export(self, rows: Mapping[str, int]) -> nn.ModuleDict:
        """Plain `nn.EmbeddingBag`s with keys 0 to rows[name] - 1."""
        plain = nn.ModuleDict()
        self.flush()
        for name, count in rows.items():
            bag = nn.EmbeddingBag(count, self._table(name).dim, mode=self.mode)
            weight = bag.weight.detach()
            for at in range(0, count, 1 << 16):
                part = weight[at:at + (1 << 16)]
                self._table(name).pull(range(at, at + len(part)), out=part,
                                       codec="f32")
            plain[name] = bag
        return plain

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={table.dim}"
                         for name, table in self.tables.items())

    # ---- A step -------------------------------------------------------------

    def _push_grads(self, pulled: Pulled,
                    grads: Sequence[Tensor | None]) -> None:
        """Of bags, in their order."""
        parts = []
        for name, grad in zip(pulled.bags, grads):
            if grad is None:
                continue
            of_rows = self._row_grads(pulled, name, grad)
            if self.scaler is not None:
                of_rows /= self.scaler.get_scale()
                if not torch.isfinite(of_rows).all():
                    self.skipped += 1
                    return
            parts.append(self.tables[name]._push_part(
                _array(pulled.keys[name]), _array(of_rows)))
        if not parts:
            return
        while len(self._pushes) >= self._in_flight:
            self._pushes.popleft().result()
        self._pushes.append(self.cluster._push_async(parts, None))

    def _row_grads(self, pulled: Pulled, name: str, grad: Tensor) -> Tensor:
        """[keys, dim] of `grad` [bags, dim]: of each key the sum over the bags
        that it is in, as often as it is."""
        offsets, inverse = pulled.bags[name][1], pulled.inverse[name]
        sizes = torch.diff(offsets, append=offsets.new_tensor([len(inverse)]))
        if self.mode == "mean":
            grad = grad / sizes.clamp(min=1).unsqueeze(1)
        if not sizes.eq(1).all():
            grad = grad.repeat_interleave(sizes, dim=0)
        rows = grad.new_zeros(len(pulled.keys[name]), grad.shape[1],
                              dtype=torch.float32)
        return rows.index_add_(0, inverse, grad.float())

    def _table(self, name: str) -> Table:
        if name not in self.tables:
            raise InvalidArgument(
                f"there is no table {name!r} in this module",
                action="look up embeddings", table=name,
                hint=f"one of {', '.join(self.tables)}")
        return self.tables[name]

    def _checked(self, name: str, values: Tensor) -> Tensor:
        values = values.detach().reshape(-1)
        if values.dtype.is_floating_point or values.dtype == torch.bool:
            raise Context("pull", name).invalid(
                f"values has type {values.dtype}; keys are integers",
                "values.long()")
        return values.long()


def _array(tensor: Tensor) -> Any:
    """The tensor's memory: as NumPy's where that is cheaper than DLPack."""
    return tensor.numpy() if tensor.device.type == "cpu" else tensor


def prefetch(loader: Iterable[Any], embeddings: EmbeddingBags, depth: int = 2,
             bags: Callable[[Any], Bags] = lambda batch: batch[0]
             ) -> Iterator[tuple[Any, Pulled]]:
    """Yields (batch, pulled) and pulls the rows of up to `depth` batches ahead,
    while the model computes. Such rows miss the pushes of the steps between:
    they are up to `depth` steps old.

    Args:
        bags: what `EmbeddingBags.forward` takes, from a batch.
    """
    waiting: deque[tuple[Any, Pulled]] = deque()
    for batch in loader:
        waiting.append((batch, embeddings.fetch(bags(batch))))
        if len(waiting) > depth:
            yield waiting.popleft()
    yield from waiting


# ---- Dense parameters -------------------------------------------------------

_RULES = ("SGD (with momentum, nesterov), Adagrad, Adam, AdamW, without "
          "weight_decay (but AdamW's), dampening, lr_decay, amsgrad, maximize")


def _rule_of(optimizer: torch.optim.Optimizer, group: Mapping[str, Any]) -> Rule:
    """The server's rule that does what the optimizer does."""
    kind = type(optimizer)
    lr = float(group["lr"])
    plain = not any(group.get(option) for option in (
        "dampening", "lr_decay", "amsgrad", "maximize",
        "initial_accumulator_value")) and (
            kind is torch.optim.AdamW or not group.get("weight_decay"))
    if plain and kind is torch.optim.SGD:
        if not group["momentum"]:
            return paramo.SGD(lr)
        with_momentum = (paramo.Nesterov if group["nesterov"]
                         else paramo.Momentum)
        return with_momentum(lr, float(group["momentum"]))
    if plain and kind is torch.optim.Adagrad:
        return paramo.Adagrad(lr, float(group["eps"]))
    if plain and kind in (torch.optim.Adam, torch.optim.AdamW):
        beta1, beta2 = (float(beta) for beta in group["betas"])
        if kind is torch.optim.Adam:
            return paramo.Adam(lr, beta1, beta2, float(group["eps"]))
        return paramo.AdamW(lr, beta1, beta2, float(group["eps"]),
                            float(group["weight_decay"]))
    raise InvalidArgument(
        f"no server-side rule does what this {kind.__name__} does: "
        f"{ {k: v for k, v in group.items() if k != 'params'} }",
        action="distribute an optimizer", hint=f"use one of: {_RULES}")


class DistributedOptimizer:
    """Dense parameters that live in a cluster: `step` pushes gradients, the
    server's rule applies them, and the parameters are pulled back in place.

    All workers begin at the values of the first one.

    Args:
        optimizer: of torch, with the parameters and what to do with them.
        cluster: an open `paramo.Cluster`.
        sync: of a job that this makes and joins; without it, the job is the one
            around it (`with cluster.job(...)`), if any.
        name: of job and tensors, the same in all workers.
        workers: of the job.

    Raises:
        InvalidArgument: no server-side rule does what the optimizer does; with
            the list of those that are known.
    """

    def __init__(self, optimizer: torch.optim.Optimizer,
                 cluster: paramo.Cluster, *, sync: Sync | None = None,
                 name: str = "dense", workers: int = 1) -> None:
        self.optimizer = optimizer
        self._cluster = cluster
        self._rules = [_rule_of(optimizer, group)
                       for group in optimizer.param_groups]
        self._groups: list[tuple[paramo.Dense, dict[str, nn.Parameter]]] = []
        for number, group in enumerate(optimizer.param_groups):
            parameters = {str(i): p for i, p in enumerate(group["params"])
                          if p.requires_grad}
            dense = cluster.dense(
                f"{name}.{number}",
                {key: p.detach().cpu() for key, p in parameters.items()},
                rule=self._rules[number])
            self._groups.append((dense, parameters))
        self._job = None
        if sync is not None:
            self._job = cluster.job(f"{name}-job", sync=sync, workers=workers)
            self._job.__enter__()
            self._job.barrier("begin")
        self._pull()

    def step(self, examples: int = 1) -> Ack:
        """Contributes the gradients of one batch, the mean over `examples`,
        and takes the parameters of the next step."""
        self._refuse_changes()
        parts = [part for dense, parameters in self._groups
                 for part in dense._push_parts({
                     key: _array(p.grad.detach().contiguous())
                     for key, p in parameters.items() if p.grad is not None})]
        job = self._cluster._job
        if job is None:
            ack = self._cluster._push(parts, None)
        else:
            job._examples = examples
            ack = job._end_step(parts, 0.0, None)
        self._pull()
        return ack

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.optimizer.zero_grad(set_to_none)

    def close(self) -> None:
        """Leaves the job that `sync` made; others do not wait for us."""
        job, self._job = self._job, None
        if job is not None:
            job.__exit__(None, None, None)

    def __enter__(self) -> DistributedOptimizer:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def _pull(self) -> None:
        parts, back = [], []
        for dense, parameters in self._groups:
            out = {}
            for key, parameter in parameters.items():
                data = parameter.detach()
                if not data.is_contiguous():
                    staged = torch.empty_like(
                        data, memory_format=torch.contiguous_format)
                    back.append((data, staged))
                    data = staged
                out[key] = _array(data.reshape(dense.shapes[key]))
            parts += dense._pull_parts(out)[0]
        self._cluster._pull(parts, None)
        for data, staged in back:
            data.copy_(staged)

    def _refuse_changes(self) -> None:
        for group, rule in zip(self.optimizer.param_groups, self._rules):
            if _rule_of(self.optimizer, group) != rule:
                raise InvalidArgument(
                    "the optimizer's parameters have changed; the servers still "
                    f"have {rule}", action="step of an optimizer",
                    hint="keep them: a scheduler of torch does not reach the "
                    "servers, tables have schedules (docs/rules.md)")
