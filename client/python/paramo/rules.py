"""Update rules, first values of rows, and sync policies.

What the rules compute and their parameters' ranges: docs/rules.md.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar


@dataclass(frozen=True)
class Rule:
    """How a table turns a row and a gradient into a row."""

    name: ClassVar[str] = ""

    def params(self) -> dict[str, float]:
        return {field.name: float(getattr(self, field.name))
                for field in fields(self)}


@dataclass(frozen=True)
class SGD(Rule):
    name: ClassVar[str] = "sgd"
    lr: float = 0.01


@dataclass(frozen=True)
class Momentum(Rule):
    name: ClassVar[str] = "momentum"
    lr: float = 0.01
    momentum: float = 0.9


@dataclass(frozen=True)
class Nesterov(Rule):
    name: ClassVar[str] = "nesterov"
    lr: float = 0.01
    momentum: float = 0.9


@dataclass(frozen=True)
class Adagrad(Rule):
    name: ClassVar[str] = "adagrad"
    lr: float = 0.01
    eps: float = 1e-10


@dataclass(frozen=True)
class RowwiseAdagrad(Rule):
    name: ClassVar[str] = "rowwise_adagrad"
    lr: float = 0.01
    eps: float = 1e-10


@dataclass(frozen=True)
class RMSprop(Rule):
    name: ClassVar[str] = "rmsprop"
    lr: float = 0.01
    rho: float = 0.99
    eps: float = 1e-8


@dataclass(frozen=True)
class Adam(Rule):
    name: ClassVar[str] = "adam"
    lr: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8


@dataclass(frozen=True)
class AdamW(Rule):
    name: ClassVar[str] = "adamw"
    lr: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.01


@dataclass(frozen=True)
class FTRL(Rule):
    name: ClassVar[str] = "ftrl"
    lr: float = 0.1
    beta: float = 1.0
    l1: float = 0.0
    l2: float = 0.0


@dataclass(frozen=True)
class Initializer:
    """The value of a row that no push has touched: a pure function of the
    table's seed and the key."""

    kind: ClassVar[int] = 0

    def spec(self) -> dict[str, float | int]:
        return {"init": self.kind}


@dataclass(frozen=True)
class Zeros(Initializer):
    pass


@dataclass(frozen=True)
class Constant(Initializer):
    kind: ClassVar[int] = 1
    value: float

    def spec(self) -> dict[str, float | int]:
        return {"init": self.kind, "init_a": float(self.value)}


@dataclass(frozen=True)
class Uniform(Initializer):
    """In [-bound, bound)."""

    kind: ClassVar[int] = 2
    bound: float

    def spec(self) -> dict[str, float | int]:
        return {"init": self.kind, "init_a": float(self.bound)}


@dataclass(frozen=True)
class Normal(Initializer):
    """Mean 0, standard deviation `std`."""

    kind: ClassVar[int] = 3
    std: float

    def spec(self) -> dict[str, float | int]:
        return {"init": self.kind, "init_a": float(self.std)}


@dataclass(frozen=True)
class Xavier(Initializer):
    """Uniform in +-sqrt(6 / (fan_in + fan_out))."""

    kind: ClassVar[int] = 4
    fan_in: int
    fan_out: int

    def spec(self) -> dict[str, float | int]:
        return {"init": self.kind, "init_fan_in": self.fan_in,
                "init_fan_out": self.fan_out}


@dataclass(frozen=True)
class Sync:
    """How far apart a job's workers may be: docs/consistency.md."""

    def text(self) -> str:
        raise NotImplementedError


@dataclass(frozen=True)
class Async(Sync):
    """Everything at once."""

    def text(self) -> str:
        return "async"


@dataclass(frozen=True)
class BSP(Sync):
    """In lock-step; a round may do without `backup_workers` of them."""

    backup_workers: int = 0

    def text(self) -> str:
        return f"bsp+{self.backup_workers}" if self.backup_workers else "bsp"


@dataclass(frozen=True)
class SSP(Sync):
    """At most `staleness` steps ahead of the slowest worker."""

    staleness: int

    def text(self) -> str:
        return f"ssp:{self.staleness}"


@dataclass(frozen=True)
class Round(Sync):
    """As BSP, but a round closes at `quorum` contributions, or `deadline`
    seconds after its first (0: never)."""

    quorum: int
    deadline: float = 0.0

    def text(self) -> str:
        if self.deadline == 0:
            return f"round:{self.quorum}"
        return f"round:{self.quorum},{round(self.deadline * 1000)}ms"
