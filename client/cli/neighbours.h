// Which rows of a table point the same way, and what their keys stand for.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/table_rows.h"

namespace paramo::cli {

struct Neighbour {
  uint64_t key = 0;
  double cosine = 0;
};

// The `k` rows with the largest cosine to row `key`, itself left out; rows of
// length 0 are nobody's neighbours.
// Errors: NOT_FOUND  no row has that key
// Cost:   one pass over all rows.
absl::StatusOr<std::vector<Neighbour>> Nearest(const TableRows& rows,
                                               uint64_t key, size_t k);

// Keys that are hashes of names (NameKey), turned back.
class KeyNames {
 public:
  // One name per line, or a Debian package list, of which the `Package:` lines
  // count; plain or gzip.
  // Errors: those of the file system; DATA_LOSS; INVALID_ARGUMENT when it has
  //         no names
  static absl::StatusOr<KeyNames> Read(const std::string& file);

  // The name of `key`, or the key itself in decimal.
  std::string NameOf(uint64_t key) const;
  bool Has(uint64_t key) const { return names_.count(key) > 0; }

 private:
  std::unordered_map<uint64_t, std::string> names_;
};

}  // namespace paramo::cli
