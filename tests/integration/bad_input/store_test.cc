// Data directories in which somebody has been at work (S3): a server that
// cannot trust what it finds does not start, and says what to do. Rows alone it
// can do without: it sets the damaged files aside.
#include <fcntl.h>
#include <rocksdb/db.h>
#include <rocksdb/sst_file_writer.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "tests/integration/bad_input/bad_input_testing.h"

namespace paramo::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

void Overwrite(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

// Of a database's directory, the newest file whose name has `part`.
fs::path FileOf(const fs::path& database, const std::string& part) {
  fs::path newest;
  for (const auto& entry : fs::directory_iterator(database)) {
    const std::string name = entry.path().filename().string();
    if (name.find(part) == std::string::npos) continue;
    newest = std::max(newest, entry.path());
  }
  EXPECT_NE(newest, fs::path()) << "no " << part << " in " << database;
  return newest;
}

// A database of some other program.
void MakeForeignDatabase(const fs::path& path) {
  rocksdb::Options options;
  options.create_if_missing = true;
  rocksdb::DB* db = nullptr;
  ASSERT_TRUE(rocksdb::DB::Open(options, path, &db).ok());
  ASSERT_TRUE(db->Put(rocksdb::WriteOptions(), "key", "value").ok());
  ASSERT_TRUE(db->Flush(rocksdb::FlushOptions()).ok());
  delete db;
}

void MakeForeignTable(const fs::path& path) {
  const rocksdb::Options options;
  rocksdb::SstFileWriter writer(rocksdb::EnvOptions(), options);
  ASSERT_TRUE(writer.Open(path).ok());
  // Filed under table 1, shard 0, key 1.
  ASSERT_TRUE(
      writer.Put(std::string("\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\1", 16), "foreign")
          .ok());
  ASSERT_TRUE(writer.Finish().ok());
}

// A server with rows has stopped in order; every test damages a copy of its
// directory.
class StoreTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    cluster_ = std::make_unique<TestCluster>(ClusterOptions{.servers = 1});
    table_ = *cluster_->coordinator().CreateTable(CountingTable("t", 4));
    std::vector<uint64_t> keys(2000);
    for (size_t i = 0; i < keys.size(); ++i) keys[i] = i;
    v1::Request request;
    *request.add_push() =
        SimpleSection(table_.id(), keys, std::vector<float>(8000, 1));
    ASSERT_EQ(cluster_->server(0).Push(request)->push(0).code(), 0u);
    sum_ = cluster_->Checksum(table_.id());
    ASSERT_EQ(cluster_->StopServer(0, SIGTERM), "exit status 0");
  }
  static void TearDownTestSuite() { cluster_.reset(); }

  void SetUp() override {
    fs::copy(cluster_->data_dir(0), copy_, fs::copy_options::recursive);
  }

  std::vector<std::string> Arguments() const {
    return {"--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0",
            "--coordinator=" + cluster_->coordinator().address(),
            "--data-dir=" + copy_.string()};
  }
  // It starts without what it cannot read, which it keeps.
  void ExpectSetAside() {
    const std::string log = dir_.path() + "/log";
    fs::remove(log);  // of the start before
    const auto server = StartBinary("paramo-server", Arguments(), log);
    EXPECT_TRUE(WaitUntil([&] {
      return absl::StrContains(ReadWholeFile(log), "serving on") ||
             !server->Running();
    }));
    server->Signal(SIGTERM);
    EXPECT_TRUE(server->WaitFor(absl::Seconds(20)));
    EXPECT_EQ(server->Outcome(), "exit status 0");
    const std::string aside = copy_.string() + "/rows.damaged-1";
    EXPECT_THAT(ReadWholeFile(log),
                AllOf(HasSubstr("the store is damaged"), HasSubstr(aside)));
    EXPECT_TRUE(fs::exists(aside));
  }
  // It ends by itself, with a line that has `what` and `advice`.
  void ExpectRefused(const std::string& what, const std::string& advice) {
    const Ran ran = RunBinary("paramo-server", Arguments());
    EXPECT_EQ(ran.outcome, "exit status 1") << ran.output;
    EXPECT_THAT(ran.output, HasSubstr(what));
    EXPECT_THAT(ran.output, HasSubstr(advice));
  }
  void StartOver() {
    fs::remove_all(copy_);
    SetUp();
  }

  static std::unique_ptr<TestCluster> cluster_;
  static v1::Table table_;
  static std::pair<uint64_t, uint64_t> sum_;
  TempDir dir_;
  const fs::path copy_ = dir_.path() + "/data";
};
std::unique_ptr<TestCluster> StoreTest::cluster_;
v1::Table StoreTest::table_;
std::pair<uint64_t, uint64_t> StoreTest::sum_;

// Both databases of a server.
class DatabaseTest : public StoreTest,
                     public ::testing::WithParamInterface<const char*> {
 protected:
  fs::path database() const { return copy_ / GetParam(); }
  void ExpectNotRead() {
    if (database().filename() == "rows") return ExpectSetAside();
    ExpectRefused(database(), "restore the data directory from a copy");
  }
};
INSTANTIATE_TEST_SUITE_P(Both, DatabaseTest, ::testing::Values("rows", "meta"),
                         [](const auto& info) {
                           return std::string(info.param);
                         });

TEST_P(DatabaseTest, S3_AMalformedManifestIsNotRead) {
  const std::string good = ReadWholeFile(FileOf(database(), "MANIFEST"));
  std::string flipped = good;
  flipped[good.size() / 2] ^= 1;
  for (const std::string& bytes :
       {std::string(5000, '\xee'), flipped, std::string()}) {
    Overwrite(FileOf(database(), "MANIFEST"), bytes);
    ExpectNotRead();
    StartOver();
  }
}

TEST_P(DatabaseTest, S3_AMalformedCurrentIsNotRead) {
  for (const std::string& bytes :
       {std::string("MANIFEST-nonsense"), std::string("MANIFEST-999999\n"),
        std::string()}) {
    Overwrite(database() / "CURRENT", bytes);
    ExpectNotRead();
    StartOver();
  }
}

TEST_P(DatabaseTest, S3_AForeignDatabaseEndsTheStart) {
  fs::remove_all(database());
  MakeForeignDatabase(database());
  ExpectRefused(database(), "check the data directory");
}

// Its rows would be taken for gone.
TEST_P(DatabaseTest, S3_ADatabaseThatIsMissingEndsTheStart) {
  fs::remove_all(database());
  ExpectRefused(database(), "check the data directory");
  StartOver();
  fs::remove(database() / "CURRENT");
  ExpectRefused(database(), "check the data directory");
}

TEST_P(DatabaseTest, S3_AnOptionsFileThatDoesNotFitEndsTheStart) {
  const fs::path options = FileOf(database(), "OPTIONS");
  const std::string good = ReadWholeFile(options);
  const std::string ours = "comparator=leveldb.BytewiseComparator";
  const size_t at = good.find(ours);
  ASSERT_NE(at, std::string::npos);
  std::string reversed = good;
  reversed.replace(at, ours.size(),
                   "comparator=rocksdb.ReverseBytewiseComparator");
  for (const std::string& bytes :
       {reversed, good.substr(0, good.size() / 2) + "\nfrom=elsewhere\n",
        std::string("rubbish")}) {
    Overwrite(FileOf(database(), "OPTIONS"), bytes);
    ExpectRefused(database(), "OPTIONS");
    StartOver();
  }
}

TEST_P(DatabaseTest, S3_ALockThatIsHeldEndsTheStart) {
  const int fd = open((database() / "LOCK").c_str(), O_RDWR);
  ASSERT_GE(fd, 0);
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  ASSERT_EQ(fcntl(fd, F_SETLK, &lock), 0);
  ExpectRefused(database(), "another process uses it");
  close(fd);
}

TEST_F(StoreTest, S3_AMalformedOrForeignTableFileIsNotRead) {
  const fs::path table = FileOf(copy_ / "rows", ".sst");
  const std::string good = ReadWholeFile(table);
  std::string flipped = good;
  flipped[good.size() / 2] ^= 1;
  for (const std::string& bytes :
       {good.substr(0, good.size() / 2), std::string(good.size(), '\xee'),
        flipped, std::string()}) {
    Overwrite(table, bytes);
    ExpectSetAside();
    StartOver();
  }
  fs::remove(table);
  ExpectSetAside();
  StartOver();
  MakeForeignTable(table);
  ExpectSetAside();
}

TEST_F(StoreTest, S3_OneDirectoryHasOneServer) {
  const int fd = open((copy_ / "LOCK").c_str(), O_RDWR);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
  ExpectRefused(copy_, "is in use by process");
  close(fd);
}

TEST_F(StoreTest, S3_ForeignFilesInTheLogEndTheStart) {
  for (const char* name : {"MANIFEST-000001", "000004.log", "000012.sst",
                           "CURRENT", "OPTIONS-000007", "LOCK"}) {
    Overwrite(copy_ / "log" / name, "foreign");
    ExpectRefused(name, "move it elsewhere");
    fs::remove(copy_ / "log" / name);
  }
  fs::remove_all(copy_ / "log");
  MakeForeignDatabase(copy_ / "log");
  ExpectRefused((copy_ / "log").string(), "move it elsewhere");
}

TEST_F(StoreTest, S3_AForeignFileUnderASegmentsNameEndsTheStart) {
  Overwrite(copy_ / "log" / "00000001-0000000000000000.log",
            std::string(4096, 'x'));
  ExpectRefused("00000001-0000000000000000.log", "");
}

// A table file that no manifest names is not read; and the directory that all
// others were copies of is whole.
TEST_F(StoreTest, S3_AStrayTableFileIsNotRead) {
  MakeForeignTable(cluster_->data_dir(0) + "/rows/999999.sst");
  cluster_->StartServer(0);
  cluster_->WaitUntilUp();
  EXPECT_EQ(cluster_->Checksum(table_.id()), sum_);
  EXPECT_EQ(cluster_->StopServer(0, SIGTERM), "exit status 0");
}

}  // namespace
}  // namespace paramo::test
