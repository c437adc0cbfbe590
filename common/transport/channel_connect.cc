// How a channel's stream comes and goes.
#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/transport/channel_core.h"
#include "common/wire/reply.h"

namespace paramo {
namespace {

// A stream that lasted this long was a success: the next attempt comes at
// once. One that breaks sooner counts as a failed attempt.
constexpr absl::Duration kSettled = absl::Milliseconds(kReconnectMaxMs);

// Codes that a broken connection may give, as opposed to a server's refusal.
bool IsConnectionCode(absl::StatusCode code) {
  return code == absl::StatusCode::kOk || code == absl::StatusCode::kDataLoss ||
         code == absl::StatusCode::kCancelled ||
         code == absl::StatusCode::kUnknown ||
         code == absl::StatusCode::kDeadlineExceeded ||
         code == absl::StatusCode::kInternal ||
         code == absl::StatusCode::kUnavailable;
}

// The lane that the server's Hello offers; null where there is none to be had:
// then everything goes by gRPC.
std::shared_ptr<ShmClient> AskForLane(const Rope& reply) {
  const auto view = wire::ParseReply(reply);
  if (!view.ok() || !view->hello.has_value() ||
      view->hello->shm_directory.empty())
    return nullptr;
  auto lane =
      ShmClient::Connect(view->hello->shm_directory, view->hello->shm_token);
  if (lane.ok()) return *std::move(lane);
  LogDebug("no shared memory with a server: %s", ToString(lane.status()));
  return nullptr;
}

}  // namespace

absl::Duration ReconnectDelay(int failures, double share) {
  const double ms = std::min<double>(
      kReconnectMaxMs,
      kReconnectMinMs * static_cast<double>(1u << std::min(failures, 16)));
  return absl::Milliseconds(ms * (0.5 + 0.5 * share));
}

void ChannelCore::Connect(absl::Duration now) {
  state_ = State::kConnecting;
  refusal_ = absl::OkStatus();
  writing_ = true;  // the Hello
  stream_ = MakeClientStream(loop_, shared_from_this(), options_.address,
                             options_.method, options_.connect_timeout);
  connect_by_ = now + options_.connect_timeout;
  WakeBy(connect_by_);
  stream_->Start();  // answers on the loop, never from in here
}

void ChannelCore::OnStarted(ClientStream* stream) {
  // The write slot is the Hello's until the stream is ready.
  stream->Write(options_.hello());
}

void ChannelCore::OnHello(ClientStream* stream, const Rope& reply) {
  const absl::Status accepted = options_.check_hello(reply);
  std::shared_ptr<ShmClient> shm;
  if (accepted.ok() && options_.shm) shm = AskForLane(reply);
  {
    MutexLock lock(mu_);
    if (stream != stream_.get() || state_ != State::kConnecting) return;
    if (accepted.ok()) {
      state_ = State::kReady;
      shm_ = std::move(shm);
      ready_since_ = loop_.Now();
    } else {
      refusal_ = accepted;
    }
  }
  if (accepted.ok()) {
    SendNext();
  } else {
    stream->Cancel();
  }
}

void ChannelCore::OnEnded(ClientStream* stream, const absl::Status& status) {
  std::vector<Outcome> outcomes;
  std::shared_ptr<ClientStream> ended;
  {
    MutexLock lock(mu_);
    if (stream != stream_.get()) return;
    ended = std::move(stream_);
    // In this order: MakeBlock may be asking it for a block just now.
    if (shm_ != nullptr) shm_->Close();
    shm_ = nullptr;
    blocks_.clear();
    if (state_ == State::kClosed) return;
    const absl::Duration now = loop_.Now();
    const bool was_ready = state_ == State::kReady;
    if (was_ready) {
      last_failure_ = absl::UnavailableError(
          absl::StrCat("the stream to ", options_.address, " broke (",
                       ToString(refusal_.ok() ? status : refusal_), ")"));
      if (now - ready_since_ >= kSettled) failures_ = 0;
    } else if (!refusal_.ok()) {
      last_failure_ = refusal_;
    } else {
      last_failure_ = absl::Status(
          IsConnectionCode(status.code()) ? absl::StatusCode::kUnavailable
                                          : status.code(),
          absl::StrCat("cannot reach a server at ", options_.address, " (",
                       ToString(status), "); is it running there?"));
    }
    state_ = State::kIdle;
    retry_at_ = now + Backoff();
    const absl::Status unknown = absl::UnavailableError(absl::StrCat(
        last_failure_.message(), "; whether it was applied is unknown"));
    outcomes = TakeAll(unknown, last_failure_);
  }
  Call(std::move(outcomes));
}

// 0 after a stream that had settled.
absl::Duration ChannelCore::Backoff() {
  const int failures = failures_++;
  if (failures == 0 && ready_since_ != absl::ZeroDuration())
    return absl::ZeroDuration();
  return ReconnectDelay(failures, jitter_.Uniform());
}

void ChannelCore::Close() {
  std::vector<Outcome> outcomes;
  std::shared_ptr<ClientStream> stream;
  {
    MutexLock lock(mu_);
    state_ = State::kClosed;
    stream = stream_;
    const absl::Status closed = absl::CancelledError("the channel was closed");
    outcomes = TakeAll(closed, closed);
  }
  if (stream != nullptr) stream->Cancel();
  if (loop_.OnThread()) return Call(std::move(outcomes));

  // Posted tasks run in order: when this one has, so have all before it.
  Mutex mu;
  CondVar called_cv;
  bool called = false;
  loop_.Post([&] {
    Call(std::move(outcomes));
    MutexLock lock(mu);
    called = true;
    called_cv.NotifyOne();
  });
  MutexLock lock(mu);
  while (!called) called_cv.Wait(mu);
}

}  // namespace paramo
