// What every case of bad input has in common: one real server with known
// rows, and the proof that afterwards nothing has changed, memory was bounded,
// and the server still serves.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/wire/section.h"
#include "paramo/v1/admin.pb.h"
#include "paramo/v1/cluster.pb.h"
#include "paramo/v1/data.pb.h"
#include "tests/integration/cluster/harness.h"
#include "tests/integration/transport/transport_testing.h"

namespace paramo::test {

// Fails when the process ever held as much.
inline void ExpectPeakBelow(pid_t pid, size_t bytes) {
  if (!kFreedIsGivenBack) return;
  EXPECT_LT(PeakResidentBytes(pid), bytes) << "of process " << pid;
}

constexpr size_t kMiB = size_t{1} << 20;

class BadInputTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    cluster_ = std::make_unique<TestCluster>(ClusterOptions{.servers = 1});
    victim_ = Create(CountingTable("victim", 4));
    good_ = Create(CountingTable("good", 1));
    std::vector<uint64_t> keys(1000);
    for (size_t i = 0; i < keys.size(); ++i) keys[i] = i;
    v1::Request request;
    *request.add_push() =
        SimpleSection(victim_.id(), keys, std::vector<float>(4000, 1));
    auto reply = server().Push(request);
    ASSERT_TRUE(reply.ok()) << reply.status();
    ASSERT_EQ(reply->push(0).code(), 0u) << reply->push(0).message();
    // The coordinator's probe is connected: who counts connections and streams
    // counts it from the beginning.
    ASSERT_TRUE(
        WaitUntil([] { return server().Metric("paramo_streams") == 1; }));
  }
  static void TearDownTestSuite() { cluster_.reset(); }

  static v1::Table Create(const v1::TableSpec& spec) {
    auto table = coordinator().CreateTable(spec);
    EXPECT_TRUE(table.ok()) << table.status();
    if (!table.ok()) return v1::Table();
    // A server that looked dead for a moment is not waited for by the
    // coordinator, and hears of the table later.
    v1::Request request;
    *request.add_pull() = SimpleSection(table->id(), {0});
    EXPECT_TRUE(WaitUntil([&] {
      auto reply = server().Pull(request);
      return reply.ok() && reply->pull(0).code() == 0;
    }));
    return *table;
  }
  static const Peer& server() { return cluster_->server(0); }
  static const Peer& coordinator() { return cluster_->coordinator(); }
  static pid_t pid() { return cluster_->pid(0); }
  static std::string host() {
    return server().address().substr(0, server().address().rfind(':'));
  }
  static int port() {
    return std::stoi(
        server().address().substr(server().address().rfind(':') + 1));
  }

  void SetUp() override {
    ExpectServing();  // warm, so that what follows is the case's own memory
    checksum_ = cluster_->Checksum(victim_.id());
    lsns_ = cluster_->LsnSum();
    resident_ = ResidentBytes(pid());
    ForgetPeak(pid());
  }

  // ---- The proof -----------------------------------------------------------

  // Not one row changed, not one record was appended, and at no time did the
  // server hold more than `bytes_more` on top of what it held before.
  void ExpectUnharmed(size_t bytes_more = 32 * kMiB) {
    EXPECT_TRUE(cluster_->Running(0)) << cluster_->log(0);
    EXPECT_EQ(cluster_->Checksum(victim_.id()), checksum_);
    EXPECT_EQ(cluster_->LsnSum(), lsns_);
    ExpectPeakBelow(pid(), resident_ + bytes_more);
    ExpectServing();
  }

  // A push that counts, and a pull that sees it.
  static void ExpectServing() {
    const float before = GoodRow();
    v1::Request request;
    *request.add_push() = SimpleSection(good_.id(), {7}, {1});
    auto reply = server().Push(request);
    ASSERT_TRUE(reply.ok()) << reply.status();
    ASSERT_EQ(reply->push(0).code(), 0u) << reply->push(0).message();
    EXPECT_EQ(GoodRow(), before - 1);
  }

  // ---- Refusals
  // ---------------------------------------------------------------

  // Pushes the section alone. It must be refused with this code and reason,
  // and counted under the reason, once.
  void ExpectPushRefused(const v1::Section& section, absl::StatusCode code,
                         v1::Reason reason) {
    v1::Request request;
    *request.add_push() = section;
    ExpectSectionRefused([&] { return server().Push(request); }, code, reason);
  }
  void ExpectPullRefused(const v1::Section& section, absl::StatusCode code,
                         v1::Reason reason) {
    v1::Request request;
    *request.add_pull() = section;
    ExpectSectionRefused([&] { return server().Pull(request); }, code, reason);
  }

  // The whole request must be refused: as the status of the call.
  void ExpectCallRefused(const std::string& method, const std::string& bytes,
                         absl::StatusCode code, v1::Reason reason) {
    const double before = server().Refused(Name(reason));
    const absl::Status status =
        server().Raw("/paramo.v1.Data/" + method, bytes).status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_NE(status.message(), "");
    EXPECT_EQ(server().Refused(Name(reason)), before + 1) << Name(reason);
  }

  static std::string Name(v1::Reason reason) {
    return wire::ReasonName(static_cast<wire::Reason>(reason));
  }

  static std::unique_ptr<TestCluster> cluster_;
  static v1::Table victim_;  // dim 4, keys 0 to 999 at -1
  static v1::Table good_;    // dim 1, what the proof of serving uses

 private:
  static float GoodRow() {
    v1::Request request;
    *request.add_pull() = SimpleSection(good_.id(), {7});
    auto reply = server().Pull(request);
    EXPECT_TRUE(reply.ok()) << reply.status();
    if (!reply.ok() || reply->pull(0).values().size() != 4) return 0;
    return Floats(reply->pull(0).values())[0];
  }

  template <typename Send>
  void ExpectSectionRefused(Send send, absl::StatusCode code,
                            v1::Reason reason) {
    const double before = server().Refused(Name(reason));
    absl::StatusOr<v1::Reply> reply = send();
    ASSERT_TRUE(reply.ok()) << reply.status();
    ASSERT_EQ(reply->push_size() + reply->pull_size(), 1);
    const v1::SectionReply& answer =
        reply->push_size() == 1 ? reply->push(0) : reply->pull(0);
    EXPECT_EQ(answer.code(), static_cast<uint32_t>(code)) << answer.message();
    EXPECT_EQ(Name(static_cast<v1::Reason>(answer.reason())), Name(reason))
        << answer.message();
    EXPECT_EQ(answer.outcome(), static_cast<uint32_t>(v1::OUTCOME_NONE));
    EXPECT_NE(answer.message(), "");
    EXPECT_LE(answer.message().size(), 512u);
    EXPECT_EQ(answer.values(), "");
    EXPECT_EQ(server().Refused(Name(reason)), before + 1) << Name(reason);
  }

  std::pair<uint64_t, uint64_t> checksum_;
  uint64_t lsns_ = 0;
  size_t resident_ = 0;
};

}  // namespace paramo::test
