#include "client/cli/demo_graph.h"

#include <cerrno>
#include <cstdio>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/neighbours.h"
#include "client/cli/table_rows.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/hash/name_key.h"

namespace paramo::cli {
namespace {

constexpr size_t kNeighboursShown = 6;
constexpr absl::Duration kReadWithin = absl::Seconds(30);

// A machine that has never fetched lists knows only what is installed.
constexpr size_t kDumpBytesMin = size_t{5} << 20;

absl::Status NoLists(absl::string_view what) {
  return absl::FailedPreconditionError(absl::StrCat(
      what,
      "; run `apt-get update` (as root) and try again, or give what "
      "`apt-cache dumpavail` prints on another machine with --data FILE"));
}

}  // namespace

absl::Status DumpPackages(const std::string& file) {
  std::FILE* out = std::fopen(file.c_str(), "we");
  if (out == nullptr) {
    return ErrnoStatus(errno, absl::StrCat("cannot write ", file));
  }
  std::FILE* apt = ::popen("apt-cache dumpavail 2>/dev/null", "re");
  size_t bytes = 0;
  bool written = apt != nullptr;
  std::vector<char> buffer(size_t{1} << 20);
  while (written) {
    const size_t got = std::fread(buffer.data(), 1, buffer.size(), apt);
    if (got == 0) break;
    bytes += got;
    written = std::fwrite(buffer.data(), 1, got, out) == got;
  }
  const int exit = apt != nullptr ? ::pclose(apt) : -1;
  const bool closed = std::fclose(out) == 0;
  if (!written || !closed) {
    return absl::UnavailableError(
        absl::StrCat("cannot write the package list to ", file));
  }
  if (exit != 0) return NoLists("`apt-cache dumpavail` does not work here");
  if (bytes < kDumpBytesMin) {
    return NoLists("this machine has no package lists of a Debian archive");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> NeighboursOf(
    const std::vector<std::string>& addresses, const std::string& table,
    const std::string& dump, const std::vector<std::string>& packages) {
  PARAMO_ASSIGN_OR_RETURN(const KeyNames names, KeyNames::Read(dump));
  PARAMO_ASSIGN_OR_RETURN(const TableRows rows,
                          ReadTable(addresses, table, kReadWithin));
  std::string text = absl::StrFormat(
      "\nneighbours by cosine in table %s (packages needed by the same others)"
      "\n",
      table);
  for (const std::string& package : packages) {
    absl::StrAppendFormat(&text, "  %-20s", Printable(package, 64));
    const auto nearest = Nearest(rows, NameKey(package), kNeighboursShown);
    if (!names.Has(NameKey(package)) || !nearest.ok()) {
      text += " is no package of the data\n";
      continue;
    }
    for (const Neighbour& neighbour : *nearest) {
      absl::StrAppendFormat(&text, " %s %.2f ", names.NameOf(neighbour.key),
                            neighbour.cosine);
    }
    text += "\n";
  }
  return text;
}

}  // namespace paramo::cli
