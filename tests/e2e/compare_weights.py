"""compare_weights.py A.npz B.npz RELATIVE: the same arrays, as near as that.

Nearness is per array: the largest difference over the largest magnitude.
"""
import sys

import numpy

a, b = (numpy.load(name) for name in sys.argv[1:3])
if sorted(a) != sorted(b) or not a:
    sys.exit(f"other arrays: {sorted(a)} and {sorted(b)}")
for name in sorted(a):
    if a[name].shape != b[name].shape:
        sys.exit(f"{name}: shapes {a[name].shape} and {b[name].shape}")
    scale = numpy.abs(b[name]).max()
    distance = numpy.abs(a[name] - b[name]).max() / scale
    print(f"{name} {a[name].shape}: differs by {distance:.2g} of {scale:.3g}")
    if not distance <= float(sys.argv[3]) or not scale > 0:
        sys.exit(f"{name}: more than {sys.argv[3]}")
