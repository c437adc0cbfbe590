"""What staging costs: rows pulled to, and gradients pushed from, a GPU.

    PARAMO_ADDRESS=... python3 tests/bench/python/gpu_bench.py

Prints the median time of a call, in turns, of 8,192 rows of 64 floats:
  host     NumPy arrays, no GPU
  staged   arrays of the GPU, given as they are (through pinned memory)
  by hand  the same with .cpu() and .to("cuda") around NumPy arrays
"""

import statistics
import time

import numpy as np
import torch

import paramo

ROWS, DIM, TURNS = 8192, 64, 200


def main():
    cluster = paramo.connect()
    table = cluster.table("gpu-bench", dim=DIM, rule=paramo.Adagrad(lr=0.01))
    rng = np.random.default_rng(1)
    keys = rng.choice(1_000_000, ROWS, replace=False).astype(np.int64)
    grads = rng.standard_normal((ROWS, DIM), np.float32)
    gpu_keys, gpu_grads = (torch.from_numpy(a).to("cuda") for a in (keys, grads))
    rows, gpu_rows = np.empty_like(grads), torch.empty_like(gpu_grads)

    def by_hand_pull():
        gpu_rows.copy_(torch.from_numpy(table.pull(gpu_keys.cpu().numpy())))
        torch.cuda.synchronize()

    calls = {
        ("pull", "host"): lambda: table.pull(keys, out=rows),
        ("pull", "staged"): lambda: table.pull(gpu_keys, out=gpu_rows),
        ("pull", "by hand"): by_hand_pull,
        ("push", "host"): lambda: table.push(keys, grads),
        ("push", "staged"): lambda: table.push(gpu_keys, gpu_grads),
        ("push", "by hand"): lambda: table.push(gpu_keys.cpu().numpy(),
                                                gpu_grads.cpu().numpy()),
    }
    times = {name: [] for name in calls}
    for turn in range(TURNS + 20):
        for name, call in calls.items():
            begun = time.perf_counter()
            call()
            if turn >= 20:  # the first ones pin memory and make rows
                times[name].append(time.perf_counter() - begun)
    print(f"{torch.cuda.get_device_name()}, {ROWS} rows of {DIM} floats")
    for (verb, how), taken in times.items():
        low, median, high = statistics.quantiles(taken, n=4)
        print(f"{verb} {how:8} {median * 1e3:7.3f} ms "
              f"({low * 1e3:.3f} to {high * 1e3:.3f}), "
              f"{ROWS / median / 1e6:.2f} M rows/s")
    cluster.close()


if __name__ == "__main__":
    main()
