#!/usr/bin/python3
"""Makes rules.txt: what each update rule computes, worked out independently.

    /usr/bin/python3 tests/golden/make_rules.py > tests/golden/rules.txt

NumPy in float32, whose +, *, / and sqrt are correctly rounded, and a fused
multiply-add made of float64 (checked here against exact fractions). Each case
is one row and a few gradients:

    case RULE dim D steps T NAME=VALUE ...
    w  D words     the value before
    g  D words     a gradient; T lines
    w' D words     the value after
    s' D words     a slot after; one line per slot

Words are the bits of an f32 in hexadecimal.
"""
from fractions import Fraction

import numpy as np

F = np.float32


def fma(a, b, c):
    """round_f32(a b + c), once, for float32 arrays."""
    product = a.astype(np.float64) * b.astype(np.float64)  # exact: 48 bits
    addend = c.astype(np.float64)
    total = product + addend
    # The rounding error of the sum (Knuth's TwoSum). Where there is one, the
    # last bit is forced to be odd, towards the exact sum; rounding that to 24
    # bits is then the same as rounding the exact sum.
    back = total - product
    error = (product - (total - back)) + (addend - back)
    bits = total.view(np.int64).copy()
    even = (bits & 1) == 0
    away = (error > 0) == (total > 0)  # the exact sum is larger in magnitude
    bits = np.where((error != 0) & even, np.where(away, bits + 1, bits - 1), bits)
    return bits.view(np.float64).astype(F)


def exact_fma(a, b, c):
    """The same by fractions, for one element: nearest, ties to even."""
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    guess = F(float(exact))
    near = [np.nextafter(guess, F(-np.inf)), guess, np.nextafter(guess, F(np.inf))]
    return min(near, key=lambda x: (abs(Fraction(float(x)) - exact),
                                    int(x.view(np.uint32)) & 1))


def check_fma(random):
    for spread in (1, 20, 60):
        a, b, c = (
            (random.standard_normal(2000) * 2.0 ** random.integers(-spread, spread, 2000)).astype(F)
            for _ in range(3))
        fused = fma(a, b, c)
        for i in range(a.size):
            assert fused[i] == exact_fma(a[i], b[i], c[i]), (a[i], b[i], c[i])


def power(base, exponent):
    """base^exponent by squaring, low bit first, in float64."""
    result = 1.0
    while exponent:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result


def sgd(w, slots, g, t, p):
    return fma(np.full_like(w, -F(p["lr"])), g, w), []


def momentum(w, slots, g, t, p):
    v = fma(np.full_like(w, F(p["momentum"])), slots[0], g)
    return fma(np.full_like(w, -F(p["lr"])), v, w), [v]


def adagrad(w, slots, g, t, p):
    a = fma(g, g, slots[0])
    direction = g / (np.sqrt(a) + F(p["eps"]))
    return fma(np.full_like(w, -F(p["lr"])), direction, w), [a]


def adam(w, slots, g, t, p):
    m = fma(np.full_like(w, F(p["beta1"])), slots[0], F(1 - p["beta1"]) * g)
    v = fma(np.full_like(w, F(p["beta2"])), slots[1], F(1 - p["beta2"]) * g * g)
    rate = F(p["lr"] / (1 - power(p["beta1"], t)))
    scale = F(1 / (1 - power(p["beta2"], t)))
    direction = m / (np.sqrt(v * scale) + F(p["eps"]))
    return fma(np.full_like(w, -rate), direction, w), [m, v]


RULES = {"adagrad": (adagrad, 1), "adam": (adam, 2),
         "momentum": (momentum, 1), "sgd": (sgd, 0)}

CASES = [
    ("adagrad", dict(lr=0.01, eps=1e-10), 19, 12),
    ("adagrad", dict(lr=0.5, eps=0.001), 8, 5),
    ("adam", dict(lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8), 19, 12),
    ("adam", dict(lr=0.1, beta1=0.0, beta2=0.5, eps=1e-3), 8, 40),
    ("momentum", dict(lr=0.01, momentum=0.9), 19, 12),
    ("momentum", dict(lr=0.3, momentum=0.0), 8, 5),
    ("sgd", dict(lr=0.01), 19, 12),
    ("sgd", dict(lr=1.0), 8, 5),
]


def words(values):
    return " ".join("%08x" % bits for bits in values.view(np.uint32))


def main():
    random = np.random.default_rng(20)
    check_fma(random)
    print("# Made by make_rules.py; see there for the format.")
    for name, params, dim, steps in CASES:
        rule, slot_count = RULES[name]
        print("case", name, "dim", dim, "steps", steps,
              *("%s=%r" % item for item in sorted(params.items())))
        w = random.standard_normal(dim).astype(F)
        print("w", words(w))
        slots = [np.zeros(dim, F) for _ in range(slot_count)]
        for t in range(1, steps + 1):
            scale = 10.0 ** random.integers(-6, 4, dim)  # six decades
            g = (random.standard_normal(dim) * scale).astype(F)
            g[t % dim] = 0
            print("g", words(g))
            w, slots = rule(w, slots, g, t, params)
        print("w'", words(w))
        for slot in slots:
            print("s'", words(slot))


if __name__ == "__main__":
    main()
