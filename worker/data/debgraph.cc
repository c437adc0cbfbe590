#include "worker/data/debgraph.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/hash/name_key.h"
#include "worker/data/indexed_dataset.h"
#include "worker/data/line_reader.h"

namespace paramo {
namespace {

// Policy 5.6.1: lower case letters, digits, plus, minus and periods.
bool IsNameCharacter(char c) {
  return absl::ascii_islower(static_cast<unsigned char>(c)) ||
         absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '+' ||
         c == '-' || c == '.';
}

size_t NameLength(absl::string_view text) {
  size_t length = 0;
  while (length < text.size() && IsNameCharacter(text[length])) ++length;
  return length;
}

bool StartsRelation(absl::string_view field) {
  return field == "Depends" || field == "Pre-Depends" || field == "Recommends";
}

// Names in order of appearance become numbers.
class Numbers {
 public:
  uint32_t Of(absl::string_view name) {
    const std::string text(name.data(), name.size());
    auto [entry, added] =
        numbers_.try_emplace(text, static_cast<uint32_t>(names_.size()));
    if (added) names_.push_back(text);
    return entry->second;
  }
  std::vector<std::string>& names() { return names_; }

 private:
  absl::flat_hash_map<std::string, uint32_t> numbers_;
  std::vector<std::string> names_;
};

// What the file says, before it is known which names are packages.
class Stanzas {
 public:
  absl::Status Read(LineReader& reader) {
    absl::string_view line;
    for (;;) {
      PARAMO_ASSIGN_OR_RETURN(const bool more, reader.Next(line));
      if (!more) return absl::OkStatus();
      PARAMO_RETURN_IF_ERROR(Take(reader, line));
    }
  }

  // Only names that are packages, renumbered in the order of their names.
  PackageGraph ToGraph() &&;

 private:
  // A stanza is a run of "Field: value" lines; a line that begins with a blank
  // continues the field above; an empty line ends the stanza.
  absl::Status Take(const LineReader& reader, absl::string_view line) {
    if (line.empty()) {
      has_package_ = in_relation_ = false;
      return absl::OkStatus();
    }
    if (line[0] == ' ' || line[0] == '\t') {
      return in_relation_ ? TakeRelations(reader, line, 0) : absl::OkStatus();
    }
    const size_t colon = line.find(':');
    if (colon == absl::string_view::npos || colon == 0) {
      return reader.Error(1, absl::StrCat("expected `Field: value`, not `",
                                          Printable(line, 32), "`"));
    }
    const absl::string_view field = line.substr(0, colon);
    in_relation_ = StartsRelation(field);
    if (field == "Package") return TakePackage(reader, line, colon + 1);
    return in_relation_ ? TakeRelations(reader, line, colon + 1)
                        : absl::OkStatus();
  }

  absl::Status TakePackage(const LineReader& reader, absl::string_view line,
                           size_t at) {
    const absl::string_view name = absl::StripAsciiWhitespace(line.substr(at));
    if (name.empty() || NameLength(name) != name.size()) {
      return reader.Error(at + 1,
                          absl::StrCat("`", Printable(name, 32),
                                       "` is no package name (a-z 0-9 + - .)"));
    }
    package_ = numbers_.Of(name);
    is_package_.resize(numbers_.names().size());
    is_package_[package_] = true;
    has_package_ = true;
    return absl::OkStatus();
  }

  // "a (>= 1) | b:any [amd64], c": names, each with decoration that says
  // nothing about who it is.
  absl::Status TakeRelations(const LineReader& reader, absl::string_view line,
                             size_t at) {
    if (!has_package_) {
      return reader.Error(1, "a dependency before the stanza's Package field");
    }
    while (at < line.size()) {
      const size_t end = std::min(line.find_first_of(",|", at), line.size());
      while (at < end &&
             absl::ascii_isspace(static_cast<unsigned char>(line[at]))) {
        ++at;
      }
      const size_t length = NameLength(line.substr(at, end - at));
      const char next = at + length < end ? line[at + length] : ' ';
      const bool decorated = next == ' ' || next == ':' || next == '(' ||
                             next == '[' || next == '<' || next == '\t';
      if (at < end && (length == 0 || !decorated)) {
        return reader.Error(
            at + 1,
            absl::StrCat("expected a package name, not `",
                         Printable(line.substr(at, end - at), 32), "`"));
      }
      if (length > 0) {
        edges_.push_back({package_, numbers_.Of(line.substr(at, length))});
      }
      at = end + 1;
    }
    return absl::OkStatus();
  }

  Numbers numbers_;
  std::vector<bool> is_package_;  // by number; shorter: not
  std::vector<Edge> edges_;
  uint32_t package_ = 0;  // of this stanza
  bool has_package_ = false;
  bool in_relation_ = false;
};

PackageGraph Stanzas::ToGraph() && {
  std::vector<std::string>& names = numbers_.names();
  is_package_.resize(names.size());
  std::vector<uint32_t> order;
  for (uint32_t i = 0; i < names.size(); ++i) {
    if (is_package_[i]) order.push_back(i);
  }
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return names[a] < names[b]; });
  PackageGraph graph;
  std::vector<uint32_t> place(names.size());
  for (uint32_t i = 0; i < order.size(); ++i) {
    place[order[i]] = i;
    graph.keys.push_back(NameKey(names[order[i]]));
  }
  std::vector<Edge> edges;
  for (const Edge& edge : edges_) {
    if (!is_package_[edge.target] || edge.source == edge.target) continue;
    edges.push_back({place[edge.source], place[edge.target]});
  }
  std::sort(edges.begin(), edges.end());
  edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
  for (uint32_t i : order) graph.names.push_back(std::move(names[i]));
  for (const Edge& edge : edges) {
    const bool held_out =
        IsHeldOut(Mix64(graph.keys[edge.source]) ^ graph.keys[edge.target]);
    (held_out ? graph.held_out : graph.train).push_back(edge);
  }
  return graph;
}

}  // namespace

absl::StatusOr<PackageGraph> ReadPackageGraph(const std::string& file) {
  auto reader = LineReader::Open(file);
  if (absl::IsNotFound(reader.status())) {
    return absl::NotFoundError(
        absl::StrCat(std::string(reader.status().message()),
                     "; make it with `apt-cache dumpavail > FILE`, after "
                     "`apt-get update` where apt has no package lists"));
  }
  if (!reader.ok()) return reader.status();
  Stanzas stanzas;
  PARAMO_RETURN_IF_ERROR(stanzas.Read(*reader));
  PackageGraph graph = std::move(stanzas).ToGraph();
  if (graph.train.empty() || graph.held_out.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        file, ": ", graph.names.size(), " packages with ",
        graph.train.size() + graph.held_out.size(),
        " dependencies between them are too few to train on and to hold one "
        "of twenty out; fetch the package lists (`apt-get update`) and run "
        "`apt-cache dumpavail > FILE` again"));
  }
  return graph;
}

}  // namespace paramo
