"""What a pull costs from Python; pull_bench.cc is the same in C++.

    PARAMO_ADDRESS=... python3 pull_bench.py ROWS DIM CALLS
"""

import sys
import time

import numpy as np

import paramo

rows, dim, calls = (int(argument) for argument in sys.argv[1:])
with paramo.connect() as cluster:
    table = cluster.table(f"bench{dim}", dim=dim, seed=1)
    keys = np.arange(rows, dtype=np.uint64)
    values = np.zeros((rows, dim), np.float32)
    table.push(keys, values)
    cpu, wall = time.process_time(), time.monotonic()
    for _ in range(calls):
        table.pull(keys, out=values)
    print(f"Python {rows} x {dim}: "
          f"{1e6 * (time.monotonic() - wall) / calls:.1f} us per call, "
          f"{1e6 * (time.process_time() - cpu) / calls:.1f} us of CPU")
