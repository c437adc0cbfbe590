"""A small DLRM on synthetic clicks, its embeddings in a cluster.

    PARAMO_ADDRESS=... python3 dlrm_paramo.py [--examples 400000] [--batch 2048]

dlrm_local.py is the same with the embeddings in its own process.
"""

import argparse
import time
from typing import Iterable, Iterator

import torch
from torch import nn

import paramo
from paramo import clicks
from paramo.torch import EmbeddingBags, prefetch

DIM = 16
parser = argparse.ArgumentParser()
parser.add_argument("--examples", type=int, default=400_000)
parser.add_argument("--batch", type=int, default=2048)
parser.add_argument("--vocabulary", type=int, default=20_000)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--device", default="cpu", help="cuda, say")


Bags = dict[str, tuple[torch.Tensor, torch.Tensor]]


class Dlrm(nn.Module):
    """Naumov et al. 2019: the products of all pairs of vectors, then an MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.bottom = nn.Sequential(nn.Linear(clicks.DENSE, DIM), nn.ReLU())
        vectors = clicks.FEATURES + 1
        self.rows, self.columns = torch.triu_indices(vectors, vectors, 1)
        self.top = nn.Sequential(
            nn.Linear(DIM + len(self.rows), 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, dense: torch.Tensor,
                bags: Iterable[torch.Tensor]) -> torch.Tensor:
        bottom = self.bottom(dense)
        vectors = torch.stack([bottom, *bags], 1)
        pairs = vectors @ vectors.transpose(1, 2)
        pairs = pairs[:, self.rows, self.columns]
        scores: torch.Tensor = self.top(torch.cat([bottom, pairs], 1))
        return scores.squeeze(1)


def loader(data: clicks.Clicks, options: argparse.Namespace
           ) -> Iterator[tuple[Bags, torch.Tensor, torch.Tensor]]:
    """Batches: bags of one key by feature, dense features, labels."""
    for batch in data.batches(options.batch):
        offsets = torch.arange(len(batch.labels), device=options.device)
        keys = torch.from_numpy(batch.keys).to(options.device)
        yield ({f"f{i}": (keys[:, i], offsets)
                for i in range(clicks.FEATURES)},
               torch.from_numpy(batch.dense).to(options.device),
               torch.from_numpy(batch.labels).to(options.device))


def main(options: argparse.Namespace) -> None:
    torch.manual_seed(options.seed)
    torch.set_num_threads(torch.get_num_threads() - 1 or 1)  # servers need one
    data = clicks.generate(options.examples * 5 // 4, seed=options.seed,
                           vocabulary=options.vocabulary)
    train = data.part(slice(options.examples))
    test = data.part(slice(options.examples, None))
    model = Dlrm().to(options.device)
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.02)

    cluster = paramo.connect()
    embed = EmbeddingBags(cluster, {f"f{i}": DIM
                                    for i in range(clicks.FEATURES)},
                          rule=paramo.Adagrad(lr=0.05),
                          init=paramo.Uniform(0.1), seed=options.seed)

    begun = time.monotonic()
    for (_, dense, labels), bags in prefetch(loader(train, options),
                                             embed, depth=1):
        scores = model(dense, embed(bags).values())
        loss = nn.functional.binary_cross_entropy_with_logits(scores, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    embed.flush()
    rate = options.examples / (time.monotonic() - begun)

    with torch.no_grad():
        scores = torch.cat([model(dense, embed(bags).values())
                            for bags, dense, _ in loader(test, options)])
    print(f"AUC {clicks.auc(test.labels, scores.cpu().numpy()):.4f}, "
          f"{rate:.0f} samples/s")
    cluster.close()


if __name__ == "__main__":
    main(parser.parse_args())
