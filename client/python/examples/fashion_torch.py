"""Fashion-MNIST, its dense parameters in a cluster: two processes in lock-step
end where one process with twice the batch ends.

    PARAMO_ADDRESS=... python3 fashion_torch.py [--workers 2] [--steps 50]

Debian's dataset-fashion-mnist has the images.
"""

import argparse
import gzip
import os
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import multiprocessing, nn

import paramo
from paramo.torch import DistributedOptimizer

FOLDER = "/usr/share/datasets/fashion-mnist"
parser = argparse.ArgumentParser()
parser.add_argument("--workers", type=int, default=2)
parser.add_argument("--steps", type=int, default=50)
parser.add_argument("--batch", type=int, default=128, help="over all workers")
parser.add_argument("--folder", default=FOLDER)
parser.add_argument("--name", default="fashion")


def read(name: str, options: argparse.Namespace) -> torch.Tensor:
    """The examples that are needed, of a file of the MNIST format."""
    with gzip.open(os.path.join(options.folder, name)) as file:
        dimensions = struct.unpack(">HBB", file.read(4))[2]
        shape = struct.unpack(f">{dimensions}I", file.read(4 * dimensions))
        shape = (options.steps * options.batch, *shape[1:])
        pixels = file.read(int(np.prod(shape)))
        return torch.from_numpy(
            np.frombuffer(pixels, np.uint8).reshape(shape).copy())


def train(number: int, options: argparse.Namespace, answers: Any) -> None:
    torch.manual_seed(1)  # the first one's values are everybody's
    torch.set_num_threads(1)
    images = read("train-images-idx3-ubyte.gz", options)
    labels = read("train-labels-idx1-ubyte.gz", options).long()
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(),
                          nn.Linear(64, 10))
    share = options.batch // options.workers
    with paramo.connect() as cluster:
        with DistributedOptimizer(
                torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
                cluster, sync=paramo.BSP(), workers=options.workers,
                name=f"{options.name}-{options.workers}") as optimizer:
            for step in range(options.steps):
                begin = step * options.batch + number * share
                batch = slice(begin, begin + share)
                loss = nn.functional.cross_entropy(
                    model(images[batch] / 255.0), labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step(examples=share)
    parameters = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    answers.put((number, loss.item(), parameters.numpy()))


def main(options: argparse.Namespace) -> npt.NDArray[np.float32]:
    """The parameters at the end."""
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    processes = [context.Process(target=train, args=(i, options, answers))
                 for i in range(options.workers)]
    for process in processes:
        process.start()
    for _ in processes:
        number, loss, parameters = answers.get()
        print(f"worker {number}: loss {loss:.4f} after {options.steps} steps")
    for process in processes:
        process.join()
    assert isinstance(parameters, np.ndarray)
    return parameters


if __name__ == "__main__":
    main(parser.parse_args())
