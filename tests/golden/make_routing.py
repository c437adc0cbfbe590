#!/usr/bin/env python3
"""Writes routing.txt: test vectors of the routing hash.

Independent of the C++ code: it follows docs/formats/routing.md, with
Python's unbounded integers. Run it from anywhere; it rewrites the file beside
it, and the result never changes.
"""
import pathlib

MASK = (1 << 64) - 1


def mix64(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def shard(hash_, count):
    bits = count.bit_length() - 1
    return hash_ >> (64 - bits) if bits else 0


def cases():
    for table in (1, 2, 3, 77, 4096, 2**32 - 1):
        for key in (0, 1, 2, 1023, 2**32, 0x0123456789ABCDEF, 2**63, MASK):
            yield table, key
    # Keys as a hashed feature would have them: the powers of an odd number.
    key = 1
    for i in range(64):
        key = (key * 0x5851F42D4C957F2D) & MASK
        yield 1 + i % 5, key


def main():
    counts = (1, 2, 64, 1024, 4096)
    lines = [
        "# Made by make_routing.py. table, key, hash, then the shard for each",
        "# shard count: " + " ".join(map(str, counts)),
    ]
    for table, key in cases():
        h = mix64(mix64(table) ^ key)
        shards = " ".join(str(shard(h, n)) for n in counts)
        lines.append(f"{table} {key:016x} {h:016x} {shards}")
    path = pathlib.Path(__file__).with_name("routing.txt")
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
