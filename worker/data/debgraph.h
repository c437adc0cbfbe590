// Reader of a Debian package graph: which package needs which.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace paramo {

// Row numbers of two packages: `source` needs `target`.
struct Edge {
  uint32_t source;
  uint32_t target;

  friend bool operator==(Edge a, Edge b) {
    return a.source == b.source && a.target == b.target;
  }
  friend bool operator<(Edge a, Edge b) {
    return a.source != b.source ? a.source < b.source : a.target < b.target;
  }
};

struct PackageGraph {
  std::vector<std::string> names;  // of package 0, 1, ...; ascending
  std::vector<uint64_t> keys;      // NameKey of each
  std::vector<Edge> train;         // ascending, no edge twice
  std::vector<Edge> held_out;      // likewise, and none of `train`
};

// Reads what `apt-cache dumpavail` prints (or a Packages file of an archive),
// plain or gzip. An edge goes from a package to every package that its Depends,
// Pre-Depends or Recommends name: all alternatives of `a | b`, whatever
// versions or architectures they ask for. Versions of one package are one
// node. Names that no package of the file has, such as virtual packages, are
// skipped, and so is a package that names itself. One edge of twenty is held
// out, by a hash of its two names.
//
// Errors: NOT_FOUND, ...      of the file system, with how to make the file
//         INVALID_ARGUMENT    "file:line:column: what is wrong"; also when
//                             nothing is left to train on or to hold out
//         DATA_LOSS           a damaged gzip file
//         RESOURCE_EXHAUSTED  kDataLineBytesMax, kDatasetBytesMax
// Source: Debian Policy, 5.1 (syntax of control files), 7.1 (relationships).
absl::StatusOr<PackageGraph> ReadPackageGraph(const std::string& file);

}  // namespace paramo
