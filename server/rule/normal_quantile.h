// The inverse of the normal distribution function, to 16 digits and with the
// same bits on every machine: only +, *, /, sqrt and fma in a stated order.
#pragma once

namespace paramo {

// Shapes: 0 < p < 1. Source: Wichura 1988, AS 241, PPND16.
double NormalQuantile(double p);

}  // namespace paramo
