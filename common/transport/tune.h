// Process-wide settings that every binary makes first thing in main.
#pragma once

namespace paramo {

// gRPC's own messages go to our log, at level debug: they are for its
// developers, and a peer can cause as many of them as it likes.
//
// Takes as many descriptors as connections and stores may need, if allowed.
//
// Tells malloc to keep its memory, and Abseil not to look for deadlocks inside
// gRPC. Message buffers of megabytes come and go thousands of times a second;
// by default glibc takes each from the kernel and gives it back, and every
// byte then costs a page fault. tests/bench/transport/transport_bench, with and
// without --untuned, two pairs of runs on two busy cores: x1.5 to x2.3 the
// messages/s and 0.6 to 0.9 of the CPU time from 64 KB up; no clear change at
// 4 KB and below.
// Trades: up to kKeepBytes (512 MiB) of free memory stays with the process.
void TuneProcess();

}  // namespace paramo
