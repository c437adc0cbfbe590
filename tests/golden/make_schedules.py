#!/usr/bin/python3
"""Makes schedules.txt: learning-rate factors, worked out independently.

    /usr/bin/python3 tests/golden/make_schedules.py > tests/golden/schedules.txt

    case KIND warmup W period P decay D floor F
    CLOCK BITS      one line per clock; BITS: the factor's f64 in hexadecimal

Python's floats are IEEE f64, so the stated order of operations gives the bits.
Each factor is also checked against its formula in 60 decimal digits.
"""
import struct
from decimal import Decimal, getcontext
from math import pi

getcontext().prec = 60
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494")


def cos_pi(x):
    """cos(pi x), 0 <= x <= 1: Taylor to the 24th power, innermost first."""
    angle = pi * (1 - x if x > 0.5 else x)
    square = angle * angle
    total = 1.0
    for k in range(12, 0, -1):
        total = 1 - square / ((2.0 * k - 1) * (2.0 * k)) * total
    return -total if x > 0.5 else total


def exact_cos(angle):
    total, term, k = Decimal(0), Decimal(1), 0
    while abs(term) > Decimal(10) ** -55:
        total += term
        k += 2
        term *= -angle * angle / (k * (k - 1))
    return total


def power(base, exponent):
    result = 1.0
    while exponent:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result


def factor(kind, warmup, period, decay, floor, clock):
    if clock < warmup:
        return (clock + 1) / warmup, Decimal(clock + 1) / warmup
    t = clock - warmup
    if kind == "step":
        drops = t // period
        return power(decay, drops), Decimal(decay) ** drops if drops else Decimal(1)
    if kind == "cosine":
        if t >= period:
            return floor, Decimal(floor)
        wave = (1 + exact_cos(PI * t / period)) / 2
        return (floor + (1 - floor) * ((1 + cos_pi(t / period)) / 2),
                Decimal(floor) + (1 - Decimal(floor)) * wave)
    return 1.0, Decimal(1)


CASES = [
    ("constant", 0, 0, 0.0, 0.0),
    ("constant", 10, 0, 0.0, 0.0),
    ("constant", 2**53, 0, 0.0, 0.0),
    ("step", 0, 100, 0.5, 0.0),
    ("step", 7, 30, 0.97, 0.0),
    ("step", 0, 1, 0.0, 0.0),
    ("cosine", 0, 1000, 0.0, 0.0),
    ("cosine", 250, 997, 0.0, 0.01),
    ("cosine", 0, 1, 0.0, 0.5),
    ("cosine", 0, 2**53, 0.0, 0.1),
]


def main():
    print("# Made by make_schedules.py; see there for the format.")
    for kind, warmup, period, decay, floor in CASES:
        print("case", kind, "warmup", warmup, "period", period,
              "decay", repr(decay), "floor", repr(floor))
        clocks = set(range(0, 12)) | {warmup - 1, warmup, warmup + 1}
        for eighth in range(0, 9):
            at = warmup + period * eighth // 8
            clocks |= {at - 1, at, at + 1}
        clocks |= {period * 3, 2**62, 2**64 - 1}
        for clock in sorted(c for c in clocks if 0 <= c < 2**64):
            got, exact = factor(kind, warmup, period, decay, floor, clock)
            assert abs(Decimal(got) - exact) < Decimal("5e-16"), (kind, clock)
            assert 0 <= got <= 1
            print(clock, struct.pack(">d", got).hex())


if __name__ == "__main__":
    main()
