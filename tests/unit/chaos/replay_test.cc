// Logs that are right, and logs that are wrong in one way each, written by the
// server's own log and chained as they should be: only a replay can tell.
#include "tests/chaos/replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/wire/request.h"
#include "server/log/log.h"
#include "server/log/segment.h"
#include "tests/chaos/judge.h"

namespace paramo::chaos {
namespace {

using testing::HasSubstr;

constexpr Layout kLayout = {.own = 1, .counter = 2, .pairs = 3, .shards = 1};
constexpr uint32_t kClient = 1;
constexpr uint64_t kSent = 40;

struct NobodyListens final : LogListener {
  void OnLogged(absl::Span<const LogProgress>, Durability) override {}
  void OnLogFailed(const absl::Status& status) override {
    ADD_FAILURE() << status;
  }
};

// One section of a push.
struct Section {
  TableId table;
  std::vector<Key> keys;
  float gradient;
  uint64_t seq;
};

// What a client sends: of push n, sections 3 n (its own row), 3 n + 1 (the
// counter) and 3 n + 2 (a pair).
std::vector<Section> Sections(const ScalarRule& rule) {
  std::vector<Section> sections;
  for (uint64_t n = 0; n < kSent; ++n) {
    const auto [a, b] =
        PairKeys(kLayout.pairs, 1, kClient, static_cast<uint32_t>(n % kPairs));
    const float gradient = rule.Gradient(n);
    sections.push_back(
        {kLayout.own, {OwnKey(kClient, n)}, gradient, 3 * n + 1});
    sections.push_back(
        {kLayout.counter, {CounterKey(kClient)}, gradient, 3 * n + 2});
    sections.push_back({kLayout.pairs, {a, b}, gradient, 3 * n + 3});
  }
  return sections;
}

std::string Encode(const Section& section) {
  const size_t key_bytes = section.keys.size() * sizeof(Key);
  const std::vector<float> gradients(section.keys.size(), section.gradient);
  std::string bytes(reinterpret_cast<const char*>(section.keys.data()),
                    key_bytes);
  bytes.append(reinterpret_cast<const char*>(gradients.data()),
               gradients.size() * sizeof(float));
  const auto rope =
      std::make_shared<const Rope>(Rope::FromString(std::move(bytes)));
  wire::SectionHeader header;
  header.session = 9;
  header.session_epoch = 1;
  header.seq = section.seq;
  header.table = section.table;
  return wire::EncodeSection(header, *rope, {0, key_bytes},
                             {key_bytes, gradients.size() * sizeof(float)},
                             rope)
      .Flatten();
}

// The log of one server, and its end of shard 0.
class ServerLog {
 public:
  explicit ServerLog(const std::string& path) {
    LogOptions options;
    options.path = path;
    auto log = Log::Open(options);
    EXPECT_TRUE(log.ok()) << log.status();
    log_ = *std::move(log);
    log_->Start(listener_);
  }
  ~ServerLog() { EXPECT_TRUE(log_->Stop().ok()); }

  void Append(RecordKind kind, const std::string& payload) {
    RecordHeader header;
    header.kind = static_cast<uint16_t>(kind);
    header.epoch = epoch;
    header.lsn = lsn + 1;
    header.previous_crc = crc;
    const Piece piece = {reinterpret_cast<const uint8_t*>(payload.data()),
                         payload.size()};
    SealRecord(header, {&piece, 1});
    ASSERT_TRUE(log_->Append(header, {&piece, 1}, Durability::kWritten).ok());
    lsn = header.lsn;
    crc = header.crc32c;
  }
  void Append(const Section& section) {
    Append(RecordKind::kPush, Encode(section));
  }
  // Goes on behind another one's end, from a checkpoint.
  void RestartBehind(const ServerLog& other) {
    lsn = other.lsn;
    crc = other.crc;
    epoch = other.epoch + 1;
    const MarkRecord mark =
        MakeMark(RecordKind::kRestart, 0, epoch, 0, lsn, crc);
    const Piece piece = mark.piece();
    ASSERT_TRUE(
        log_->Append(mark.header, {&piece, 1}, Durability::kWritten).ok());
  }

  Epoch epoch = 1;
  Lsn lsn = 0;
  uint32_t crc = 0;

 private:
  NobodyListens listener_;
  std::unique_ptr<Log> log_;
};

class ReplayTest : public testing::TestWithParam<const char*> {
 protected:
  ReplayTest() : rule_(GetParam()), sections_(Sections(rule_)) {
    std::filesystem::remove_all(dir_);
    for (const Section& section : sections_) {
      auto& table = section.table == kLayout.own       ? rows_.own
                    : section.table == kLayout.counter ? rows_.counter
                                                       : rows_.pairs;
      for (Key key : section.keys) {
        rule_.Apply(section.gradient, states_[{section.table, key}]);
        table[key] = states_[{section.table, key}].value;
      }
    }
  }
  ~ReplayTest() override { std::filesystem::remove_all(dir_); }

  std::string Path(int server) const { return absl::StrCat(dir_, "/", server); }
  void WriteAll() {
    ServerLog log(Path(0));
    log.Append(RecordKind::kNoOp, "");
    for (const Section& section : sections_) log.Append(section);
  }

  absl::StatusOr<Verdict> Judged(int servers = 1) const {
    ShardLogs logs;
    for (int i = 0; i < servers; ++i) {
      PARAMO_RETURN_IF_ERROR(logs.Add(Path(i)));
    }
    PARAMO_ASSIGN_OR_RETURN(const Evidence evidence,
                            HoldAgainst(logs, rows_, kLayout, rule_));
    PARAMO_ASSIGN_OR_RETURN(Report report, Report::Open(""));
    const History history(kSent, Attempt{1, 2, Outcome::kAcked});
    return JudgeAll(evidence, kLayout, {{kClient, &history}}, report);
  }
  Verdict JudgedWell(int servers = 1) const {
    const auto verdict = Judged(servers);
    EXPECT_TRUE(verdict.ok()) << verdict.status();
    return verdict.value_or(Verdict());
  }

  const std::string dir_ =
      absl::StrCat(testing::TempDir(), "/replay-test-", getpid());
  const ScalarRule rule_;
  std::vector<Section> sections_;
  Contents rows_;  // as they should be

 private:
  std::map<std::pair<TableId, Key>, ScalarRow> states_;
};

INSTANTIATE_TEST_SUITE_P(Rules, ReplayTest, testing::Values("adagrad", "adam"));

TEST_P(ReplayTest, ARightLogIsClean) {
  WriteAll();
  const Verdict verdict = JudgedWell();
  EXPECT_TRUE(verdict.clean());
  EXPECT_EQ(verdict.found, kSent);
}

TEST_P(ReplayTest, ARecordThatIsNotThereIsALostPush) {
  sections_.erase(sections_.begin() + 3 * 17);
  WriteAll();
  EXPECT_EQ(JudgedWell().lost, 1u);
  EXPECT_EQ(JudgedWell().unexpected, 1u);  // its row
}

TEST_P(ReplayTest, ALossThatOnlyTheCounterSeesIsSeen) {
  sections_.erase(sections_.begin() + 3 * 17 + 1);
  WriteAll();
  EXPECT_EQ(JudgedWell().lost, 1u);
  EXPECT_EQ(JudgedWell().unexpected, 1u);
}

TEST_P(ReplayTest, ARecordThatIsThereTwiceIsADuplicate) {
  for (size_t part : {0, 1, 2}) {
    std::filesystem::remove_all(dir_);
    sections_ = Sections(rule_);
    const auto at = sections_.begin() + static_cast<std::ptrdiff_t>(51 + part);
    sections_.insert(at, *at);
    WriteAll();
    EXPECT_EQ(JudgedWell().duplicated, 1u) << part;
    EXPECT_EQ(JudgedWell().lost, 0u) << part;
  }
}

TEST_P(ReplayTest, ADuplicateThatMakesUpForALossIsSeen) {
  // Both are the counter's: it has as many pushes as it should.
  sections_[3 * 17 + 1] = sections_[3 * 16 + 1];
  WriteAll();
  EXPECT_EQ(JudgedWell().duplicated, 1u);
}

TEST_P(ReplayTest, AChangedGradientMakesAnotherRow) {
  sections_[3 * 17 + 1].gradient *= 1.0001f;
  WriteAll();
  const Verdict verdict = JudgedWell();
  EXPECT_EQ(verdict.unexpected, 1u);
  EXPECT_EQ(verdict.lost, 0u);
  EXPECT_EQ(verdict.duplicated, 0u);
}

TEST_P(ReplayTest, AnotherOrderMakesAnotherRow) {
  std::swap(sections_[3 * 17 + 1], sections_[3 * 20 + 1]);
  WriteAll();
  EXPECT_EQ(JudgedWell().unexpected, 1u);
}

TEST_P(ReplayTest, ARowWithoutARecordIsUnexpected) {
  rows_.own[OwnKey(kClient, kSent)] = 1;
  WriteAll();
  EXPECT_EQ(JudgedWell().unexpected, 1u);
}

TEST_P(ReplayTest, APushOfNobodyIsUnexpected) {
  sections_.push_back({kLayout.counter, {CounterKey(77)}, 1, 1000});
  WriteAll();
  // Nobody was told of it, and no pull returned its row.
  EXPECT_EQ(JudgedWell().unexpected, 2u);
}

// Half of the records lie with a deposed primary, behind whose end there is one
// that nobody else had; the rest with its successor, made from a checkpoint.
TEST_P(ReplayTest, OneShardIsReadFromSeveralLogs) {
  {
    ServerLog first(Path(0));
    for (size_t i = 0; i < 60; ++i) first.Append(sections_[i]);
    ServerLog second(Path(1));
    second.RestartBehind(first);
    second.Append(RecordKind::kNoOp, "");
    for (size_t i = 60; i < sections_.size(); ++i) second.Append(sections_[i]);
    first.Append(sections_[60]);
    first.Append(sections_[61]);
  }
  EXPECT_TRUE(JudgedWell(/*servers=*/2).clean());
  EXPECT_EQ(JudgedWell(2).found, kSent);
}

TEST_P(ReplayTest, ALogWithoutItsBeginningIsNoEvidence) {
  {
    ServerLog first(Path(1));
    first.Append(sections_[0]);
    ServerLog second(Path(0));
    second.RestartBehind(first);
    second.Append(sections_[1]);
  }
  EXPECT_THAT(std::string(Judged().status().message()),
              HasSubstr("record 1 is in no log"));
}

TEST_P(ReplayTest, ADamagedRecordIsNoEvidence) {
  WriteAll();
  for (const auto& file : std::filesystem::directory_iterator(Path(0))) {
    std::fstream bytes(file.path(), std::ios::in | std::ios::out);
    bytes.seekp(static_cast<std::streamoff>(sizeof(SegmentHeader)) + 100);
    bytes.put('\x7f');
  }
  EXPECT_EQ(Judged().status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace paramo::chaos
