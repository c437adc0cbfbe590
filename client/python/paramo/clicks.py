"""A synthetic click data set for recommendation models.

Labelled synthetic: nobody clicked. A teacher that is planted, a small random
factorization machine, decides the probability of each click, so that there is
something to learn and a best AUC that no model passes. Keys follow Zipf's law,
as those of real logs do.
"""

from __future__ import annotations

from typing import Iterator, NamedTuple

import numpy as np
import numpy.typing as npt

FEATURES = 8      # categorical ones, each with keys of its own
DENSE = 4         # numerical ones
_FACTORS = 4      # of the teacher


class Clicks(NamedTuple):
    """Attributes: keys [n, FEATURES] int64, 0 to vocabulary - 1; dense
    [n, DENSE] float32; labels [n] float32, 0 or 1."""

    keys: npt.NDArray[np.int64]
    dense: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]

    def part(self, examples: slice) -> Clicks:
        return Clicks(self.keys[examples], self.dense[examples],
                      self.labels[examples])

    def batches(self, size: int) -> Iterator[Clicks]:
        for at in range(0, len(self.labels), size):
            yield self.part(slice(at, at + size))


def generate(examples: int, *, vocabulary: int = 20_000, seed: int = 1,
             zipf: float = 1.05) -> Clicks:
    """The same data for the same arguments, on any machine.

    >>> train = generate(1000, vocabulary=50)
    >>> train.keys.shape, train.dense.shape, sorted(set(train.labels.tolist()))
    ((1000, 8), (1000, 4), [0.0, 1.0])
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    teacher = np.random.Generator(np.random.PCG64([seed, 1]))
    popularity = 1.0 / np.arange(1, vocabulary + 1) ** zipf
    bounds = np.cumsum(popularity / popularity.sum())
    drawn = np.searchsorted(bounds, generator.random((examples, FEATURES)))
    keys = np.minimum(drawn, vocabulary - 1).astype(np.int64)
    dense = generator.standard_normal((examples, DENSE)).astype(np.float32)

    bias = teacher.standard_normal((FEATURES, vocabulary)) * 0.6
    factors = teacher.standard_normal((FEATURES, vocabulary, _FACTORS)) * 0.35
    weights = teacher.standard_normal(DENSE) * 0.3
    logits = dense @ weights - 1.0
    total = np.zeros((examples, _FACTORS))
    squares = np.zeros(examples)
    for feature in range(FEATURES):
        rows = factors[feature, keys[:, feature]]
        logits += bias[feature, keys[:, feature]]
        total += rows
        squares += (rows ** 2).sum(1)
    logits += ((total ** 2).sum(1) - squares) / 2  # all pairs of features
    labels = generator.random(examples) < 1 / (1 + np.exp(-logits))
    return Clicks(keys, dense, labels.astype(np.float32))


def auc(labels: npt.NDArray[np.float32],
        scores: npt.NDArray[np.float32]) -> float:
    """Area under the ROC curve.

    >>> auc(np.array([0, 1, 0, 1]), np.array([.1, .9, .3, .2]))
    0.75
    """
    order = np.argsort(scores, kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    positive = labels > 0.5
    wins = ranks[positive].sum() - positive.sum() * (positive.sum() + 1) / 2
    return float(wins / (positive.sum() * (~positive).sum()))
