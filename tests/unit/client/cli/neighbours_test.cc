#include "client/cli/neighbours.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdlib>
#include <fstream>

#include "common/hash/name_key.h"

namespace paramo::cli {
namespace {

using ::testing::HasSubstr;

// Directions: key 1 east, 2 north, 3 nearly east and long, 4 west, 5 nothing.
TableRows Compass() {
  TableRows rows;
  rows.dim = 2;
  rows.keys = {1, 2, 3, 4, 5};
  rows.values = {1, 0, 0, 1, 40, 30, -1, 0, 0, 0};
  return rows;
}

std::vector<uint64_t> KeysOf(const std::vector<Neighbour>& neighbours) {
  std::vector<uint64_t> keys;
  for (const Neighbour& neighbour : neighbours) keys.push_back(neighbour.key);
  return keys;
}

TEST(Nearest, SortsByCosineWhateverTheLength) {
  auto nearest = Nearest(Compass(), 1, 10);
  ASSERT_TRUE(nearest.ok());
  EXPECT_EQ(KeysOf(*nearest), (std::vector<uint64_t>{3, 2, 4}));
  EXPECT_NEAR((*nearest)[0].cosine, 0.8, 1e-9);  // 40 / 50
  EXPECT_NEAR((*nearest)[1].cosine, 0, 1e-9);
  EXPECT_NEAR((*nearest)[2].cosine, -1, 1e-9);
}

TEST(Nearest, AnswersAtMostK) {
  EXPECT_EQ(KeysOf(*Nearest(Compass(), 2, 1)), std::vector<uint64_t>{3});
}

TEST(Nearest, ARowOfLengthZeroHasNoNeighbours) {
  EXPECT_TRUE(Nearest(Compass(), 5, 10)->empty());
}

TEST(Nearest, UnknownKeyIsNotFound) {
  EXPECT_EQ(Nearest(Compass(), 6, 10).status().code(),
            absl::StatusCode::kNotFound);
}

class NamesFile {
 public:
  explicit NamesFile(const std::string& text, bool gzip = false) {
    char name[] = "/tmp/paramo_names_XXXXXX";
    close(mkstemp(name));
    path_ = name;
    if (gzip) {
      gzFile out = gzopen(name, "wb");
      gzwrite(out, text.data(), static_cast<unsigned>(text.size()));
      gzclose(out);
    } else {
      std::ofstream(path_) << text;
    }
  }
  ~NamesFile() { unlink(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(KeyNames, ReadsNamesOnePerLine) {
  NamesFile file("vim\n\n git \nlast");
  auto names = KeyNames::Read(file.path());
  ASSERT_TRUE(names.ok()) << names.status();
  EXPECT_EQ(names->NameOf(NameKey("git")), "git");
  EXPECT_TRUE(names->Has(NameKey("last")));
  EXPECT_FALSE(names->Has(7));
  EXPECT_EQ(names->NameOf(7), "7");
}

TEST(KeyNames, OfAPackageListOnlyPackagesCount) {
  const std::string text = "Filler: x\nPackage: vim\nDepends: git\n\n" +
                           std::string(9000, 'x') +
                           "\nPackage: nano\nVersion: 1\n";
  for (bool gzip : {false, true}) {
    NamesFile file(text, gzip);
    auto names = KeyNames::Read(file.path());
    ASSERT_TRUE(names.ok()) << names.status();
    EXPECT_TRUE(names->Has(NameKey("vim")));
    EXPECT_TRUE(names->Has(NameKey("nano")));
    EXPECT_FALSE(names->Has(NameKey("Depends: git")));
    EXPECT_FALSE(names->Has(NameKey("Filler: x")));
  }
}

TEST(KeyNames, RefusesAFileWithoutNames) {
  NamesFile file("\n\n");
  EXPECT_THAT(std::string(KeyNames::Read(file.path()).status().message()),
              HasSubstr("apt-cache pkgnames"));
  EXPECT_EQ(KeyNames::Read("/nonexistent").status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace paramo::cli
