#!/usr/bin/python3
"""Makes initializers.txt: the value of missing rows, worked out independently.

    /usr/bin/python3 tests/golden/make_initializers.py > tests/golden/initializers.txt

One line per row, words being the bits of an f32 in hexadecimal:

    KIND a fan_in fan_out seed key dim WORD...

and the normal quantile by itself, both tails, as bits of f64:

    quantile P RESULT
"""
import math
import statistics
import struct
from fractions import Fraction

import numpy as np

MASK = (1 << 64) - 1


def mix64(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def draws(seed, key, dim):
    state = mix64(seed ^ mix64(key))
    return [mix64((state + i * 0x9E3779B97F4A7C15) & MASK) for i in range(dim)]


def fma(a, b, c):
    """Exact, then rounded once: Python rounds fractions correctly."""
    return float(Fraction(a) * Fraction(b) + Fraction(c))


def horner(coefficients, x):
    total = coefficients[0]
    for coefficient in coefficients[1:]:
        total = fma(total, x, coefficient)
    return total


def log(x):
    m, e = math.frexp(x)  # m in [1/2, 1)
    if m < float.fromhex("0x1.6a09e667f3bcdp-1"):  # sqrt(1/2)
        m, e = 2 * m, e - 1
    s = (m - 1) / (m + 1)
    series = horner([1.0 / k for k in range(21, 0, -2)], s * s)
    result = fma(float(e), 0.6931471805599453, (s + s) * series)
    assert abs(result - math.log(x)) <= 4e-16 * abs(math.log(x)) + 1e-18
    return result


# AS 241, PPND16: by falling power.
CENTRAL = (
    [2509.0809287301226727, 33430.575583588128105, 67265.770927008700853,
     45921.953931549871457, 13731.693765509461125, 1971.5909503065514427,
     133.14166789178437745, 3.3871328727963666080],
    [5226.4952788528545610, 28729.085735721942674, 39307.895800092710610,
     21213.794301586595867, 5394.1960214247511077, 687.18700749205790830,
     42.313330701600911252, 1.0])
TAIL = (
    [7.74545014278341407640e-4, 2.27238449892691845833e-2,
     2.41780725177450611770e-1, 1.27045825245236838258, 3.64784832476320460504,
     5.76949722146069140550, 4.63033784615654529590, 1.42343711074968357734],
    [1.05075007164441684324e-9, 5.47593808499534494600e-4,
     1.51986665636164571966e-2, 1.48103976427480074590e-1,
     6.89767334985100004550e-1, 1.67638483018380384940, 2.05319162663775882187,
     1.0])
FAR = (
    [2.01033439929228813265e-7, 2.71155556874348757815e-5,
     1.24266094738807843860e-3, 2.65321895265761230930e-2,
     2.96560571828504891230e-1, 1.78482653991729133580, 5.46378491116411436990,
     6.65790464350110377720],
    [2.04426310338993978564e-15, 1.42151175831644588870e-7,
     1.84631831751005468180e-5, 7.86869131145613259100e-4,
     1.48753612908506148525e-2, 1.36929880922735805310e-1,
     5.99832206555887937690e-1, 1.0])


def quantile(p):
    q = p - 0.5
    if abs(q) <= 0.425:
        r = fma(-q, q, 0.180625)
        result = q * (horner(CENTRAL[0], r) / horner(CENTRAL[1], r))
    else:
        r = math.sqrt(-log(p if q < 0 else 1 - p))
        top, bottom = TAIL if r <= 5 else FAR
        r -= 1.6 if r <= 5 else 5
        result = horner(top, r) / horner(bottom, r)
        result = -result if q < 0 else result
    expected = statistics.NormalDist().inv_cdf(p)
    assert abs(result - expected) <= 4e-15 * max(1, abs(expected)), (p, result, expected)
    return result


def uniform(width, bits):
    scale = np.float32(width) * np.float32(2.0 ** -23)
    return [np.float32((x >> 40) - (1 << 23)) * scale for x in bits]


def fill(kind, a, fan_in, fan_out, seed, key, dim):
    bits = draws(seed, key, dim)
    if kind == "zeros":
        return [np.float32(0)] * dim
    if kind == "constant":
        return [np.float32(a)] * dim
    if kind == "uniform":
        return uniform(a, bits)
    if kind == "normal":
        return [np.float32(a * quantile(((x >> 12) + 0.5) * 2.0 ** -52)) for x in bits]
    return uniform(math.sqrt(6.0 / (fan_in + fan_out)), bits)


CASES = [("zeros", 0.0, 0, 0), ("constant", 0.1, 0, 0), ("uniform", 0.05, 0, 0),
         ("uniform", 1.0, 0, 0), ("normal", 0.01, 0, 0), ("normal", 1.0, 0, 0),
         ("xavier", 0.0, 784, 256), ("xavier", 0.0, 128, 10)]
ROWS = [(0, 0), (0, 1), (1, 0), (42, 123456789), (MASK, MASK)]


def main():
    print("# Made by make_initializers.py; see there for the format.")
    for case in CASES:
        for seed, key in ROWS:
            dim = 33 if case[0] == "normal" else 9
            words = ["%08x" % int(x.view(np.uint32)) for x in fill(*case, seed, key, dim)]
            print(*case, seed, key, dim, *words)
    points = [i / 32 for i in range(1, 32)]
    for i in range(6, 54):
        points += [2.0 ** -i * 1.37, 1 - 2.0 ** -i]
    for p in points:
        print("quantile", *(struct.pack(">d", x).hex() for x in (p, quantile(p))))


if __name__ == "__main__":
    main()
