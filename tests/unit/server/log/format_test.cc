// The format: seals, names, and the worked example of docs/formats/log.md.
#include <fstream>
#include <sstream>

#include "absl/strings/numbers.h"
#include "tests/unit/server/log/log_test_util.h"

namespace paramo {
namespace {

class LogFormatTest : public LogTest {};

// Lines of "    00a0: 01 02 ... " of a document, in order.
std::string HexDumpOf(const std::string& document) {
  std::ifstream in(std::string(PARAMO_SOURCE_DIR) + "/" + document);
  std::string bytes;
  for (std::string line; std::getline(in, line);) {
    uint32_t offset = 0;
    if (line.size() < 12 || line.substr(0, 4) != "    " || line[8] != ':' ||
        !absl::SimpleHexAtoi(line.substr(4, 4), &offset)) {
      continue;
    }
    EXPECT_EQ(offset, bytes.size()) << line;
    std::istringstream words(line.substr(9));
    for (std::string word; words >> word;) {
      uint32_t byte = 0;
      EXPECT_TRUE(absl::SimpleHexAtoi(word, &byte)) << line;
      bytes.push_back(static_cast<char>(byte));
    }
  }
  return bytes;
}

TEST_F(LogFormatTest, TheWorkedExampleIsWhatIsWritten) {
  LogOptions options = Options(disk_, "5d7a2c1e-0b0f-4a57-9c0e-6f3c2b1a0d9e");
  auto log = Start(options);
  RecordHeader header;
  header.kind = static_cast<uint16_t>(RecordKind::kSkip);
  header.shard = 5;
  header.epoch = 2;
  header.lsn = 1;
  header.history = 7;
  const uint8_t payload[] = {0x0a, 0x0b, 0x0c};
  const Piece piece = {payload, sizeof(payload)};
  SealRecord(header, {&piece, 1});
  ASSERT_TRUE(log->Append(header, {&piece, 1}, Durability::kSynced).ok());
  ASSERT_TRUE(listener_->WaitSynced(5, 1));
  ASSERT_TRUE(log->Stop().ok());

  const std::string example = HexDumpOf("docs/formats/log.md");
  ASSERT_EQ(example.size(), 128u + 32 + 51 + 32);
  EXPECT_EQ(disk_.Bytes(disk_.Names()[0]), example);
}

TEST_F(LogFormatTest, TheWorkedExampleIsRead) {
  disk_.Put("00000001-0000000000000000.log", HexDumpOf("docs/formats/log.md"));
  auto recovery = *Recover(disk_, "boot-2");
  EXPECT_TRUE(recovery->corruptions().empty());
  EXPECT_EQ(recovery->position(), 243u);
  ASSERT_EQ(recovery->Shard(5).size(), 1u);
  const LogRecord record = recovery->Shard(5)[0];
  EXPECT_EQ(record.header.kind, static_cast<uint16_t>(RecordKind::kSkip));
  EXPECT_EQ(record.header.epoch, 2u);
  EXPECT_THAT(record.payload, testing::ElementsAre(0x0a, 0x0b, 0x0c));
}

TEST_F(LogFormatTest, ARecordOfALaterVersionIsRefused) {
  auto log = Start();
  RecordHeader header;
  header.version = 2;
  header.lsn = 1;
  SealRecord(header, {});
  ASSERT_TRUE(log->Append(header, {}, Durability::kWritten).ok());
  ASSERT_TRUE(log->Stop().ok());
  const absl::Status status = Recover(disk_, "boot-1").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), testing::HasSubstr("a record of version 2"));
}

TEST(LogRecordTest, EveryFlippedBitIsFound) {
  std::string payload = "some payload";
  RecordHeader header;
  header.kind = 1;
  header.shard = 3;
  header.lsn = 9;
  const Piece piece = {reinterpret_cast<const uint8_t*>(payload.data()),
                       payload.size()};
  SealRecord(header, {&piece, 1});
  EXPECT_EQ(header.length, payload.size());
  EXPECT_TRUE(CheckRecord(header, {&piece, 1}));
  for (size_t bit = 0; bit < 8 * sizeof(header); ++bit) {
    RecordHeader flipped = header;
    reinterpret_cast<uint8_t*>(&flipped)[bit / 8] ^= 1 << bit % 8;
    EXPECT_FALSE(CheckRecord(flipped, {&piece, 1})) << bit;
  }
  for (size_t bit = 0; bit < 8 * payload.size(); ++bit) {
    payload[bit / 8] = static_cast<char>(payload[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(CheckRecord(header, {&piece, 1})) << bit;
    payload[bit / 8] = static_cast<char>(payload[bit / 8] ^ (1 << bit % 8));
  }
}

TEST(LogRecordTest, PiecesMakeNoDifference) {
  const uint8_t bytes[] = {1, 2, 3, 4, 5};
  RecordHeader whole;
  RecordHeader pieces;
  const Piece one[] = {{bytes, 5}};
  const Piece three[] = {{bytes, 1}, {bytes + 1, 0}, {bytes + 1, 4}};
  SealRecord(whole, one);
  SealRecord(pieces, three);
  EXPECT_EQ(whole.crc32c, pieces.crc32c);
}

TEST(SegmentNameTest, OnlyOursParse) {
  const SegmentName name = {7, 0x12a05f20};
  EXPECT_EQ(name.Format(), "00000007-0000000012a05f20.log");
  auto parsed = SegmentName::Parse(name.Format());
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->number, 7u);
  EXPECT_EQ(parsed->first_position, 0x12a05f20u);
  for (const char* other :
       {"", ".log", "-.log", "00000007-0000000012a05f20", "7-12a05f20.log",
        "00000000-0000000000000000.log", "0000000G-0000000012a05f20.log",
        "00000007-0000000012A05F20.log", "00000007-0000000012a05f20.log.tmp"}) {
    EXPECT_FALSE(SegmentName::Parse(other).has_value()) << other;
  }
}

}  // namespace
}  // namespace paramo
