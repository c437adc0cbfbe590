#!/usr/bin/python3
"""Makes rules.txt: what each update rule computes, worked out independently.

    /usr/bin/python3 tests/golden/make_rules.py > tests/golden/rules.txt

NumPy in float32, whose +, *, / and sqrt are correctly rounded, and a fused
multiply-add made of float64 (checked here against exact fractions). Each case
is one row and a few gradients:

    case RULE dim D steps T scale S NAME=VALUE ...
    w  D words     the value before
    g  D words     a gradient; T lines
    w' D words     the value after
    s' D words     a slot after; one line per slot (1 word where it is of the row)

S multiplies the learning rate.

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


def nesterov(w, slots, g, t, p):
    mu = np.full_like(w, F(p["momentum"]))
    v = fma(mu, slots[0], g)
    return fma(np.full_like(w, -F(p["lr"])), fma(mu, v, g), w), [v]


def momentum(w, slots, g, t, p):
    v = fma(np.full_like(w, F(p["momentum"])), slots[0], g)
    return fma(np.full_like(w, -F(p["lr"])), v, w), [v]


def adagrad(w, slots, g, t, p):
    a = fma(g, g, slots[0])
    direction = g / (np.sqrt(a) + F(p["eps"]))
    return fma(np.full_like(w, -F(p["lr"])), direction, w), [a]


def square_sum(g):
    """Eight float64 partial sums, element i to sum i mod 8; then a tree."""
    part = [0.0] * 8
    for i, x in enumerate(g):
        part[i % 8] += float(x) * float(x)
    a, b, c, d, e, f, g, h = part
    return ((a + b) + (c + d)) + ((e + f) + (g + h))


def rowwise_adagrad(w, slots, g, t, p):
    a = slots[0] + F(square_sum(g) / g.size)
    inverse = F(1) / (np.sqrt(a) + F(p["eps"]))
    return fma(np.full_like(w, -F(p["lr"])), g * inverse, w), [a]


def rmsprop(w, slots, g, t, p):
    s = fma(np.full_like(w, F(p["rho"])), slots[0], F(1 - p["rho"]) * g * g)
    direction = g / (np.sqrt(s) + F(p["eps"]))
    return fma(np.full_like(w, -F(p["lr"])), direction, w), [s]


def ftrl(w, slots, g, t, p):
    inverse = np.full_like(w, F(1 / p["lr"]))
    l1, l2 = F(p["l1"]), np.full_like(w, F(p["l2"]))
    z, n = slots
    n_next = fma(g, g, n)
    sigma = (np.sqrt(n_next) - np.sqrt(n)) * inverse
    z_next = fma(-sigma, w, fma(np.full_like(w, F(p["scale"])), g, z))
    slope = fma(F(p["beta"]) + np.sqrt(n_next), inverse, l2)
    with np.errstate(invalid="ignore"):  # 0 / 0 where the value is 0 anyway
        moved = -(z_next - np.sign(z_next) * l1) / slope
    return np.where(np.abs(z_next) <= l1, F(0), moved), [z_next, n_next]


def adamw(w, slots, g, t, p):
    keep = F(1 - p["lr"] * p["weight_decay"])
    return adam(keep * w, slots, g, t, p)


def adam(w, slots, g, t, p):
    m = fma(np.full_like(w, F(p["beta1"])), slots[0], F(1 - p["beta1"]) * g)
    v = fma(np.full_like(w, F(p["beta2"])), slots[1], F(1 - p["beta2"]) * g * g)
    rate = F(p["lr"] / (1 - power(p["beta1"], t)))
    scale = F(1 / (1 - power(p["beta2"], t)))
    direction = m / (np.sqrt(v * scale) + F(p["eps"]))
    return fma(np.full_like(w, -rate), direction, w), [m, v]


# Per rule: the step, slots of one float per element, slots of one per row.
RULES = {"adagrad": (adagrad, 1, 0), "adam": (adam, 2, 0),
         "adamw": (adamw, 2, 0), "ftrl": (ftrl, 2, 0),
         "momentum": (momentum, 1, 0), "nesterov": (nesterov, 1, 0),
         "rmsprop": (rmsprop, 1, 0), "rowwise_adagrad": (rowwise_adagrad, 0, 1),
         "sgd": (sgd, 0, 0)}

# Rule, parameters, dim, steps, scale.
CASES = [
    ("adagrad", dict(lr=0.01, eps=1e-10), 19, 12, 1.0),
    ("adagrad", dict(lr=0.5, eps=0.001), 8, 5, 1.0),
    ("adam", dict(lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8), 19, 12, 1.0),
    ("adam", dict(lr=0.1, beta1=0.0, beta2=0.5, eps=1e-3), 8, 40, 1.0),
    ("momentum", dict(lr=0.01, momentum=0.9), 19, 12, 1.0),
    ("momentum", dict(lr=0.3, momentum=0.0), 8, 5, 1.0),
    ("sgd", dict(lr=0.01), 19, 12, 1.0),
    ("sgd", dict(lr=1.0), 8, 5, 1.0),
    ("adagrad", dict(lr=0.01, eps=1e-10), 19, 5, 0.3),
    ("adam", dict(lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8), 19, 5, 0.3),
    ("momentum", dict(lr=0.01, momentum=0.9), 19, 5, 0.3),
    ("sgd", dict(lr=0.01), 19, 5, 0.3),
    ("adamw", dict(lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8,
                   weight_decay=0.01), 19, 12, 1.0),
    ("adamw", dict(lr=0.5, beta1=0.8, beta2=0.9, eps=1e-3, weight_decay=0.9),
     8, 20, 0.7),
    ("ftrl", dict(lr=0.1, beta=1.0, l1=0.0, l2=0.0), 19, 12, 1.0),
    ("ftrl", dict(lr=0.05, beta=0.5, l1=0.7, l2=0.3), 27, 20, 1.0),
    ("ftrl", dict(lr=0.3, beta=0.0, l1=0.2, l2=0.0), 27, 9, 0.3),
    ("nesterov", dict(lr=0.01, momentum=0.9), 19, 12, 1.0),
    ("nesterov", dict(lr=0.3, momentum=0.5), 8, 5, 0.7),
    ("rmsprop", dict(lr=0.01, rho=0.99, eps=1e-8), 19, 12, 1.0),
    ("rmsprop", dict(lr=0.2, rho=0.0, eps=1e-3), 8, 5, 0.3),
    ("rowwise_adagrad", dict(lr=0.01, eps=1e-10), 19, 12, 1.0),
    ("rowwise_adagrad", dict(lr=0.5, eps=0.001), 64, 5, 0.3),
    ("rowwise_adagrad", dict(lr=0.5, eps=0.001), 3, 5, 1.0),
]


def words(values):
    return " ".join("%08x" % bits for bits in values.view(np.uint32))


def main():
    random = np.random.default_rng(20)
    check_fma(random)
    print("# Made by make_rules.py; see there for the format.")
    for name, params, dim, steps, scale in CASES:
        rule, slot_count, row_slot_count = RULES[name]
        print("case", name, "dim", dim, "steps", steps, "scale", repr(scale),
              *("%s=%r" % item for item in sorted(params.items())))
        if name == "ftrl":
            params = dict(params, scale=scale)  # of the gradient's share of z
        else:
            params = dict(params, lr=params["lr"] * scale)
        w = random.standard_normal(dim).astype(F)
        print("w", words(w))
        slots = [np.zeros(dim, F) for _ in range(slot_count)]
        slots += [np.zeros(1, F) for _ in range(row_slot_count)]
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
