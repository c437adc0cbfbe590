"""Paramo, a parameter server: pull rows, push gradients.

>>> import paramo
>>> with paramo.connect(getfixture("address")) as cluster:
...     table = cluster.table("user", dim=16, rule=paramo.Adagrad(lr=0.05),
...                           init=paramo.Uniform(0.01))
...     table.pull([3, 1, 3]).shape
(3, 16)
"""

from paramo.cluster import Cluster, connect
from paramo.dense import Dense
from paramo.errors import (Cancelled, DataLoss, DeadlineExceeded,
                           FailedPrecondition, InvalidArgument, NotFound,
                           ParamoError, PermissionDenied, ResourceExhausted,
                           SchemaMismatch, SessionExpired, StaleRead,
                           Unauthenticated, Unavailable)
from paramo.futures import Future
from paramo.job import Job, Shard
from paramo.local import LocalCluster
from paramo.rules import (BSP, FTRL, SGD, SSP, Adagrad, Adam, AdamW, Async,
                          Constant, Initializer, Momentum, Nesterov, Normal,
                          RMSprop, Round, RowwiseAdagrad, Rule, Sync, Uniform,
                          Xavier, Zeros)
from paramo.table import Ack, Table

__version__ = "0.1.0"


def torchrec_library() -> str:
    """The shared library for `torch.ops.tde.register_io`, with which torchrec's
    dynamic embeddings live in a cluster: `tde.wrap("paramo://host:port", ...)`.
    """
    from paramo import _core
    return str(_core.__file__)


__all__ = [
    "Ack", "Adagrad", "Adam", "AdamW", "Async", "BSP", "Cancelled", "Cluster",
    "Constant", "DataLoss", "DeadlineExceeded", "Dense", "FTRL",
    "FailedPrecondition", "Future", "Initializer", "InvalidArgument", "Job",
    "LocalCluster", "Momentum", "Nesterov", "Normal", "NotFound",
    "ParamoError", "PermissionDenied", "RMSprop", "ResourceExhausted", "Round",
    "RowwiseAdagrad", "Rule", "SGD", "SSP", "SchemaMismatch", "SessionExpired",
    "Shard", "StaleRead", "Sync", "Table", "Unauthenticated", "Unavailable",
    "Uniform", "Xavier", "Zeros", "connect", "torchrec_library",
]
