// `paramo dev`: a cluster that leaves nothing behind, however it ends.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "paramo/cluster.h"
#include "paramo/v1/cluster.pb.h"
#include "tests/integration/cluster/harness.h"

namespace paramo::test {
namespace {

bool Listens(const std::string& address) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(
      static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  const bool connected =
      connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
  close(fd);
  return connected;
}

class DevTest : public ::testing::Test {
 protected:
  void Start(const std::vector<std::string>& args = {}) {
    std::vector<std::string> all = {"dev", "--output", "json"};
    all.insert(all.end(), args.begin(), args.end());
    const std::string log = logs_.path() + "/dev.log";
    dev_ = StartBinary("paramo", all, log, {"TMPDIR=" + tmp_.path()});
    ASSERT_TRUE(WaitUntil(
        [&] {
          up_ = nlohmann::json::parse(ReadWholeFile(log), nullptr, false);
          return up_.is_object();
        },
        absl::Seconds(30)))
        << ReadWholeFile(log);
    EXPECT_FALSE(std::filesystem::is_empty(tmp_.path()));
    for (const auto& process : up_["processes"]) {
      EXPECT_TRUE(ProcessExists(process["pid"])) << process;
      EXPECT_TRUE(Listens(process["address"])) << process;
    }
  }

  void ExpectNothingLeft() {
    EXPECT_TRUE(WaitUntil([&] {
      for (const auto& process : up_["processes"]) {
        if (ProcessExists(process["pid"])) return false;
      }
      return std::filesystem::is_empty(tmp_.path());
    }));
    for (const auto& process : up_["processes"]) {
      EXPECT_FALSE(Listens(process["address"])) << process;
      EXPECT_FALSE(Listens(process["metrics"])) << process;
    }
  }

  const TempDir logs_;
  const TempDir tmp_;  // its TMPDIR
  std::unique_ptr<cli::Process> dev_;
  nlohmann::json up_;
};

TEST_F(DevTest, GivesAClusterAndLeavesNothingOnCtrlC) {
  Start();
  EXPECT_EQ(up_["processes"].size(), 4u);
  const Peer coordinator(up_["address"].get<std::string>());
  auto state = coordinator.State();
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(state->servers_size(), 3);
  dev_->Signal(SIGINT);
  ASSERT_TRUE(dev_->WaitFor(absl::Seconds(20)));
  EXPECT_EQ(dev_->Outcome(), "exit status 0");
  ExpectNothingLeft();
}

TEST_F(DevTest, LeavesNothingWhenItIsKilled) {
  Start({"--servers", "2"});
  dev_->Signal(SIGKILL);
  ASSERT_TRUE(dev_->WaitFor(absl::Seconds(20)));
  ExpectNothingLeft();
}

TEST_F(DevTest, LeavesNothingWhenItsTerminalGoesAway) {
  Start({"--servers", "1"});
  dev_->Signal(SIGHUP);
  ASSERT_TRUE(dev_->WaitFor(absl::Seconds(20)));
  ExpectNothingLeft();
}

TEST_F(DevTest, EndsWithAReasonWhenAServerDies) {
  Start({"--servers", "2"});
  ASSERT_EQ(kill(up_["processes"][1]["pid"].get<int>(), SIGKILL), 0);
  ASSERT_TRUE(dev_->WaitFor(absl::Seconds(20)));
  EXPECT_EQ(dev_->Outcome(), "exit status 1");
  EXPECT_THAT(
      ReadWholeFile(logs_.path() + "/dev.log"),
      ::testing::HasSubstr("server-1 ended by itself (killed by signal 9"));
  ExpectNothingLeft();
}

TEST_F(DevTest, KeepsItsDataInAFolderThatIsNamed) {
  const TempDir kept;
  const std::vector<uint64_t> keys = {1, 2, 3};
  for (const float expected : {-1.0f, -2.0f}) {
    Start({"--servers", "2", "--dir", kept.path()});
    {
      ConnectOptions options;
      options.addresses = up_["address"];
      auto cluster = Cluster::Connect(options);
      ASSERT_TRUE(cluster.ok()) << cluster.status().ToString();
      TableSpec spec;
      spec.name = "kept";
      spec.dim = 1;
      spec.rule = {"sgd", {{"lr", 1.0}}};
      auto table = (*cluster)->CreateTable(spec);
      ASSERT_TRUE(table.ok()) << table.status().ToString();
      std::vector<float> rows(3);
      auto ack = table->PushPull(keys, std::vector<float>(3, 1), keys, rows);
      ASSERT_TRUE(ack.ok()) << ack.status().ToString();
      EXPECT_EQ(rows, std::vector<float>(3, expected));
    }
    dev_->Signal(SIGTERM);
    ASSERT_TRUE(dev_->WaitFor(absl::Seconds(20)));
    EXPECT_EQ(dev_->Outcome(), "exit status 0");
    ExpectNothingLeft();
    std::filesystem::remove(logs_.path() + "/dev.log");
  }
}

}  // namespace
}  // namespace paramo::test
