"""Which Debian packages lie side by side: link prediction with NumPy alone.

    paramo dev                                  # in another shell
    PARAMO_ADDRESS=... python3 package_graph.py [--epochs 12] [libc6 ...]

Every package has two vectors, for what it needs and for what it is to others;
training makes their product large where one package needs the other, and small
for pairs drawn at random. The edges are those of this machine's
/var/lib/dpkg/status.
"""

import argparse
import re

import numpy as np
import numpy.typing as npt

import paramo

DIM = 32
NEGATIVES = 5  # random pairs for each edge
NEEDED = np.uint64(1 << 32)  # added to the key of the second vector

Edges = npt.NDArray[np.uint64]


def read_edges(path: str) -> tuple[list[str], Edges]:
    """Names of packages, and [n, 2] pairs of their numbers."""
    numbers: dict[str, int] = {}
    edges = []
    package = ""
    for line in open(path, encoding="utf-8"):
        field, _, value = line.partition(": ")
        if field == "Package":
            package = value.strip()
        if field in ("Depends", "Recommends"):
            for name in re.findall(r"(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]+)", value):
                edges.append([numbers.setdefault(one, len(numbers))
                              for one in (package, name)])
    return list(numbers), np.array(edges, np.uint64)


def train(table: paramo.Table, edges: Edges, packages: int, epochs: int,
          generator: np.random.Generator) -> None:
    for _ in range(epochs):
        for batch in np.array_split(generator.permutation(edges),
                                    max(1, len(edges) // 512)):
            step(table, batch, packages, generator)


def step(table: paramo.Table, edges: Edges, packages: int,
         generator: np.random.Generator) -> None:
    # One edge and NEGATIVES pairs with a package drawn at random.
    left = np.repeat(edges[:, 0], 1 + NEGATIVES)
    right = np.repeat(edges[:, 1], 1 + NEGATIVES)
    labels = np.zeros(len(left), np.float32)
    labels[::1 + NEGATIVES] = 1
    drawn = generator.integers(0, packages, len(left), dtype=np.uint64)
    right = np.where(labels == 1, right, drawn) + NEEDED

    rows = table.pull(np.concatenate([left, right]))
    u, v = rows[:len(left)], rows[len(left):]
    error = 1 / (1 + np.exp(-(u * v).sum(1))) - labels
    grads = np.concatenate([error[:, None] * v, error[:, None] * u])
    table.push(np.concatenate([left, right]), grads)


def auc(table: paramo.Table, edges: Edges, packages: int,
        generator: np.random.Generator) -> float:
    """How often an edge scores higher than a random pair."""
    drawn = generator.integers(0, packages, len(edges), dtype=np.uint64)
    u, v = table.pull(edges[:, 0]), table.pull(edges[:, 1] + NEEDED)
    w = table.pull(drawn + NEEDED)
    return float(((u * v).sum(1) > (u * w).sum(1)).mean())


def neighbours(table: paramo.Table, names: list[str], of: str,
               count: int = 5) -> list[str]:
    rows = table.pull(np.arange(len(names)))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True) + 1e-9
    best = np.argsort(-(rows @ rows[names.index(of)]))
    return [names[i] for i in best[1:count + 1]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--status", default="/var/lib/dpkg/status")
    parser.add_argument("packages", nargs="*", default=["g++", "python3-numpy"])
    options = parser.parse_args()

    names, edges = read_edges(options.status)
    generator = np.random.default_rng(options.seed)
    edges = generator.permutation(edges)
    held_out, edges = edges[:len(edges) // 10], edges[len(edges) // 10:]
    print(f"{len(names)} packages, {len(edges)} edges, seed {options.seed}")
    with paramo.connect() as cluster:
        table = cluster.table("packages", dim=DIM, seed=options.seed,
                              rule=paramo.Adagrad(lr=0.1),
                              init=paramo.Uniform(0.1))
        train(table, edges, len(names), options.epochs, generator)
        print(f"AUC of held-out edges: "
              f"{auc(table, held_out, len(names), generator):.3f}")
        for name in options.packages:
            print(f"{name}: {', '.join(neighbours(table, names, name))}")


if __name__ == "__main__":
    main()
