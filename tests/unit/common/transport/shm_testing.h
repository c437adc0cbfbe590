// A server's lanes in a directory of a test's own, and clients of them.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "common/base/descriptor.h"
#include "common/transport/shm_client.h"
#include "common/transport/shm_lanes.h"
#include "common/wire/envelope.h"

namespace paramo {

inline constexpr size_t kLaneBytes = size_t{1} << 20;

inline size_t OpenDescriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(all), end(all)));
}

inline std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

class ShmTest : public ::testing::Test {
 protected:
  ShmTest() {
    char name[] = "/tmp/paramo-shm-test-XXXXXX";
    EXPECT_NE(mkdtemp(name), nullptr);
    root_ = name;
    lanes_ = Start(metrics_);
  }
  ~ShmTest() override {
    lanes_.reset();
    std::filesystem::remove_all(root_);
  }

  std::string directory() const { return root_ + "/shm"; }
  std::unique_ptr<ShmLanes> Start(MetricsRegistry& metrics) {
    ShmLanes::Options options;
    options.directory = directory();
    options.lane_bytes = kLaneBytes;
    options.lanes_max = 2;
    auto lanes = ShmLanes::Start(options, metrics);
    EXPECT_TRUE(lanes.ok()) << lanes.status();
    return lanes.ok() ? *std::move(lanes) : nullptr;
  }
  absl::StatusOr<std::shared_ptr<ShmClient>> Connect() {
    return ShmClient::Connect(directory(), lanes_->token());
  }
  std::shared_ptr<ShmClient> MustConnect() {
    auto client = Connect();
    EXPECT_TRUE(client.ok()) << client.status();
    return client.ok() ? *std::move(client) : nullptr;
  }
  // The server's end of the client's lane.
  std::shared_ptr<ShmLane> Claim(ShmClient& client) {
    return lanes_->Claim(EnvelopeOf(client, 0).lane);
  }
  static wire::ShmRequest EnvelopeOf(ShmClient& client, size_t bytes) {
    Message message;
    message.push_back(*client.Make(bytes, 0));
    const Message envelope = client.Find(message)->Seal(1);
    return *wire::ReadShmRequest(Rope::FromString(
        std::string(reinterpret_cast<const char*>(envelope[0].data()),
                    envelope[0].size())));
  }
  // Where clients connect.
  sockaddr_un Address() {
    auto opened = OpenPrivateDirectory(directory());
    EXPECT_TRUE(opened.ok()) << opened.status();
    opened_ = *std::move(opened);
    return LaneSocket(opened_);
  }
  static int Call(int (*call)(int, const sockaddr*, socklen_t),
                  const Descriptor& socket, const sockaddr_un& address) {
    return call(socket.get(), reinterpret_cast<const sockaddr*>(&address),
                sizeof address);
  }
  double Metric(const std::string& name, const std::string& labels = "") {
    for (const MetricSample& sample : metrics_.Collect())
      if (sample.name == name && sample.labels == labels) return sample.value;
    return -1;
  }
  double Lanes() { return Metric("paramo_shm_lanes"); }
  double Refused(const std::string& reason) {
    return Metric("paramo_shm_refused_total", "{reason=\"" + reason + "\"}");
  }
  static bool WaitUntil(const std::function<bool()>& condition) {
    const absl::Time end = absl::Now() + absl::Seconds(10);
    while (!condition() && absl::Now() < end)
      absl::SleepFor(absl::Milliseconds(1));
    return condition();
  }

  std::string root_;
  MetricsRegistry metrics_;
  std::unique_ptr<ShmLanes> lanes_;
  Descriptor opened_;
};

}  // namespace paramo
