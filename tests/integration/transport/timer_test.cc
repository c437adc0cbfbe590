// What a channel waits for costs it one timer, however many requests, and
// however long none is answered.
#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "common/transport/channel_core.h"
#include "common/transport/client_loop.h"
#include "tests/integration/transport/transport_testing.h"

namespace paramo {
namespace {

// One replaced by an earlier one waits for its time, which may be that of a
// probe or of a write: these, and the one that counts.
constexpr size_t kTimersMax = 8;
constexpr int kRequests = 16;

TEST(Timers, OfRequestsThatNobodyAnswersAreNotEverMore) {
  Mutex mu;
  std::vector<std::unique_ptr<IncomingCall>> held;
  DataServer::Options server_options;
  server_options.in_flight_max = kRequests + 1;
  server_options.handler = [&](std::unique_ptr<IncomingCall> call) {
    if (call->first()) return AnswerHello(*call);
    MutexLock lock(mu);
    held.push_back(std::move(call));
  };
  auto server = StartServer(std::move(server_options));

  DataChannel::Options options = ChannelTo(server->port());
  options.probe = [](uint64_t id) { return ToMessage(MessageText(id, 0)); };
  ClientLoop loop(0);
  auto channel = std::make_shared<ChannelCore>(loop, options);
  const auto send = [&](absl::Duration timeout) {
    Outcome outcome;
    const uint64_t id = channel->NextId();
    channel->Send(id, ToMessage(MessageText(id, 100)), timeout, outcome.Done());
    return outcome;
  };
  const Outcome patient = send(absl::Seconds(60));
  std::vector<Outcome> impatient;
  for (int i = 1; i <= kRequests; ++i) {
    impatient.push_back(send(absl::Milliseconds(10 * i)));
  }
  for (const Outcome& outcome : impatient) {
    EXPECT_EQ(outcome.Wait().status().code(),
              absl::StatusCode::kDeadlineExceeded);
  }
  EXPECT_LE(loop.timers(), kTimersMax);

  channel->Close();
  EXPECT_EQ(patient.Wait().status().code(), absl::StatusCode::kCancelled);
  MutexLock lock(mu);
  held.clear();
}

}  // namespace
}  // namespace paramo
