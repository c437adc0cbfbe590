#include "client/cli/neighbours.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/hash/name_key.h"

namespace paramo::cli {
namespace {

// Longer lines are cut: no name is that long.
constexpr int kLineBytes = 4096;

double Dot(const float* a, const float* b, size_t dim) {
  double sum = 0;
  for (size_t i = 0; i < dim; ++i) sum += double{a[i]} * b[i];
  return sum;
}

}  // namespace

absl::StatusOr<std::vector<Neighbour>> Nearest(const TableRows& rows,
                                               uint64_t key, size_t k) {
  const auto found = std::lower_bound(rows.keys.begin(), rows.keys.end(), key);
  if (found == rows.keys.end() || *found != key) {
    return absl::NotFoundError(
        absl::StrCat("no row of the table has key ", key));
  }
  const auto self = static_cast<size_t>(found - rows.keys.begin());
  const float* centre = &rows.values[self * rows.dim];
  const double length = std::sqrt(Dot(centre, centre, rows.dim));
  std::vector<Neighbour> all;
  for (size_t i = 0; i < rows.keys.size(); ++i) {
    const float* row = &rows.values[i * rows.dim];
    const double lengths = length * std::sqrt(Dot(row, row, rows.dim));
    if (i == self || !(lengths > 0)) continue;
    all.push_back({rows.keys[i], Dot(centre, row, rows.dim) / lengths});
  }
  k = std::min(k, all.size());
  std::partial_sort(all.begin(), all.begin() + static_cast<long>(k), all.end(),
                    [](const Neighbour& a, const Neighbour& b) {
                      return a.cosine != b.cosine ? a.cosine > b.cosine
                                                  : a.key < b.key;
                    });
  all.resize(k);
  return all;
}

absl::StatusOr<KeyNames> KeyNames::Read(const std::string& file) {
  errno = 0;
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> in(
      gzopen(file.c_str(), "rb"), gzclose);
  if (in == nullptr) {
    return ErrnoStatus(errno != 0 ? errno : ENOMEM,
                       absl::StrCat("opening ", Printable(file)));
  }
  constexpr absl::string_view kField = "Package:";
  KeyNames names;
  KeyNames packages;
  char line[kLineBytes];
  bool starts = true;  // this piece begins a line
  while (gzgets(in.get(), line, sizeof(line)) != nullptr) {
    const absl::string_view text(line);
    if (starts && !text.empty()) {
      const bool package = absl::StartsWith(text, kField);
      const absl::string_view name = absl::StripAsciiWhitespace(
          package ? text.substr(kField.size()) : text);
      // Of a package list only its Package lines matter.
      if (!name.empty() && (package || packages.names_.empty())) {
        (package ? packages : names)
            .names_.try_emplace(NameKey(name), name.data(), name.size());
      }
    }
    starts = !text.empty() && text.back() == '\n';
  }
  int code = Z_OK;
  const char* why = gzerror(in.get(), &code);
  if (code != Z_OK && code != Z_STREAM_END) {
    return absl::DataLossError(
        absl::StrCat(Printable(file), ": is damaged (", why, ")"));
  }
  if (!packages.names_.empty()) names = std::move(packages);
  if (names.names_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        Printable(file),
        ": holds no names; give one per line, such as `apt-cache pkgnames` "
        "prints, or what `apt-cache dumpavail` prints"));
  }
  return names;
}

std::string KeyNames::NameOf(uint64_t key) const {
  const auto found = names_.find(key);
  return found != names_.end() ? found->second : absl::StrCat(key);
}

}  // namespace paramo::cli
