#include "worker/data/debgraph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/hash/name_key.h"
#include "tests/unit/worker/data/text_file.h"

namespace paramo {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

// A hub that 100 packages need: enough that some edges are held out.
std::string Padding() {
  std::string text = "Package: hub\n\n";
  for (int i = 0; i < 100; ++i) {
    absl::StrAppend(&text, "Package: p", i, "\nDepends: hub\n\n");
  }
  return text;
}

absl::StatusOr<PackageGraph> Read(const std::string& text) {
  TextFile file(text);
  return ReadPackageGraph(file.path());
}

// "source target" of all edges that start at a package named `source`.
std::multiset<std::string> Targets(const PackageGraph& graph,
                                   const std::string& source) {
  std::multiset<std::string> targets;
  for (const auto* edges : {&graph.train, &graph.held_out}) {
    for (const Edge& edge : *edges) {
      if (graph.names[edge.source] == source) {
        targets.insert(graph.names[edge.target]);
      }
    }
  }
  return targets;
}

std::string ErrorOf(const std::string& text) {
  auto graph = Read(text);
  EXPECT_EQ(graph.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(graph.status().message());
}

TEST(PackageGraph, ReadsRelationsOfAllKinds) {
  auto graph = Read(Padding() +
                    "Package: vim\n"
                    "Version: 2:9.0\n"
                    "Depends: libc6 (>= 2.36), a | b (<< 2) [amd64],\n"
                    " c:any <!nocheck>\n"
                    "Pre-Depends: dpkg\n"
                    "Recommends: xxd|hub\n"
                    "Suggests: p1\n"
                    "Conflicts: p2\n"
                    "Description: editor\n"
                    " Depends: p3\n"
                    "\n"
                    "Package: libc6\n\nPackage: a\n\nPackage: b\n\n"
                    "Package: c\n\nPackage: dpkg\n\nPackage: xxd\n");
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_THAT(
      Targets(*graph, "vim"),
      UnorderedElementsAre("libc6", "a", "b", "c", "dpkg", "xxd", "hub"));
}

TEST(PackageGraph, SkipsVirtualPackagesSelvesAndDuplicates) {
  auto graph = Read(Padding() +
                    "Package: x\nDepends: hub, nobody, x\n\n"
                    "Package: x\nDepends: hub, p1\n");  // another version
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_THAT(Targets(*graph, "x"), UnorderedElementsAre("hub", "p1"));
  EXPECT_EQ(std::count(graph->names.begin(), graph->names.end(), "nobody"), 0);
}

TEST(PackageGraph, NamesAscendAndKeysAreTheirHashes) {
  auto graph = Read(Padding());
  ASSERT_TRUE(graph.ok());
  EXPECT_TRUE(std::is_sorted(graph->names.begin(), graph->names.end()));
  ASSERT_EQ(graph->keys.size(), graph->names.size());
  for (size_t i = 0; i < graph->names.size(); ++i) {
    EXPECT_EQ(graph->keys[i], NameKey(graph->names[i]));
  }
  // XXH3-64 of nothing, from its specification: tables hold rows by this hash.
  EXPECT_EQ(NameKey(""), 0x2d06800538d394c2u);
}

TEST(PackageGraph, HoldsTheSameEdgesOutWhateverElseIsInTheFile) {
  auto graph = Read(Padding());
  auto more = Read(Padding() + "Package: 0first\nDepends: hub, p7\n");
  ASSERT_TRUE(graph.ok() && more.ok());
  EXPECT_EQ(graph->train.size() + graph->held_out.size(), 100u);
  EXPECT_LT(graph->held_out.size(), 20u);
  std::set<std::string> held_out;
  for (const Edge& edge : more->held_out) {
    held_out.insert(more->names[edge.source]);
  }
  for (const Edge& edge : graph->held_out) {
    EXPECT_EQ(held_out.count(graph->names[edge.source]), 1u);
  }
}

TEST(PackageGraph, ReadsGzip) {
  TextFile file(Padding(), TextFile::Form::kGzip);
  auto graph = ReadPackageGraph(file.path());
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(graph->names.size(), 101u);
}

TEST(PackageGraph, ErrorsNameLineAndColumn) {
  EXPECT_THAT(ErrorOf("Package: a\nno colon\n"), HasSubstr(":2:1: expected"));
  EXPECT_THAT(ErrorOf("Package: A B\n"),
              HasSubstr(":1:9: `A B` is no package"));
  EXPECT_THAT(ErrorOf("Package: a\nDepends: b, $x\n"),
              HasSubstr(":2:13: expected a package name, not `$x`"));
  EXPECT_THAT(ErrorOf("Package: a\nDepends: b, cX\n"), HasSubstr(":2:13:"));
  EXPECT_THAT(ErrorOf("Package: a\n\nDepends: b\n"),
              HasSubstr(":3:1: a dependency before"));
}

TEST(PackageGraph, SaysHowToGetTheData) {
  EXPECT_THAT(ErrorOf(""), HasSubstr("apt-get update"));
  auto graph = ReadPackageGraph("/nonexistent");
  EXPECT_EQ(graph.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(graph.status().message()),
              HasSubstr("apt-cache dumpavail > FILE"));
}

}  // namespace
}  // namespace paramo
