// Requests and timers of a channel. How its stream comes and goes is
// channel_connect.cc.
#include "common/transport/channel_core.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/wire/envelope.h"
#include "common/wire/reply.h"
#include "common/wire/seal.h"

namespace paramo {
namespace {

// A request that was given less time to be answered says nothing of its stream.
constexpr absl::Duration kSilence = absl::Seconds(1);

// A link that carries less is as good as none.
constexpr double kBytesPerSecondMin = 1 << 20;

}  // namespace

ChannelCore::ChannelCore(ClientLoop& loop, DataChannel::Options options)
    : loop_(loop),
      options_(std::move(options)),
      jitter_(options_.seed != 0 ? options_.seed : MakeRandomId()) {}

size_t ChannelCore::outstanding() const {
  MutexLock lock(mu_);
  return requests_.size();
}

Buffer ChannelCore::MakeBlock(size_t bytes, size_t reply_bytes) {
  if (bytes + reply_bytes < kShmRequestBytesMin) return Buffer(bytes);
  std::shared_ptr<ShmClient> shm;
  {
    MutexLock lock(mu_);
    shm = shm_;
  }
  if (shm == nullptr) return Buffer(bytes);
  if (std::optional<Buffer> block = shm->Make(bytes, reply_bytes))
    return *std::move(block);
  MutexLock lock(mu_);
  ++shm_stats_.full;
  return Buffer(bytes);
}

DataChannel::ShmStats ChannelCore::shm_stats() const {
  MutexLock lock(mu_);
  return shm_stats_;
}

void ChannelCore::Send(uint64_t id, Message message, absl::Duration timeout,
                       DataChannel::Done done) {
  const absl::Duration now = loop_.Now();
  const size_t bytes = MessageBytes(message);
  absl::Status refused;
  {
    MutexLock lock(mu_);
    refused = Admit(bytes, timeout, now);
    if (refused.ok()) {
      if (state_ == State::kIdle) Connect(now);
      const auto inserted = requests_.try_emplace(id);
      PARAMO_CHECK(inserted.second);  // ids are never used twice
      Request& request = inserted.first->second;
      request.message = std::move(message);
      request.bytes = bytes;
      request.done = std::move(done);
      request.timeout = timeout;
      request.deadline = now + timeout;
      queue_.push_back(id);
      queue_bytes_ += bytes;
      if (request.deadline != absl::InfiniteDuration()) {
        deadlines_.emplace(request.deadline, id);
        WakeBy(request.deadline);
      }
    }
  }
  if (refused.ok()) return SendNext();
  loop_.Post([done = std::move(done), refused = std::move(refused)] {
    done(MarkNeverSent(refused));
  });
}

absl::Status ChannelCore::Admit(size_t bytes, absl::Duration timeout,
                                absl::Duration now) {
  if (state_ == State::kClosed)
    return absl::CancelledError("the channel is closed");
  if (timeout <= absl::ZeroDuration())
    return absl::DeadlineExceededError("the deadline has passed already");
  if (bytes > kMessageBytesMax)
    return absl::ResourceExhaustedError(
        absl::StrCat("a request of ", bytes, " bytes is above the limit of ",
                     kMessageBytesMax, "; send fewer keys at a time"));
  if (queue_bytes_ + bytes > options_.queue_bytes_max)
    return absl::ResourceExhaustedError(absl::StrCat(
        queue_bytes_, " bytes wait to be sent to ", options_.address,
        " already; wait for answers before sending more"));
  if (state_ == State::kIdle && now < retry_at_)
    return absl::Status(
        last_failure_.code(),
        absl::StrCat(last_failure_.message(), "; next attempt in ",
                     absl::FormatDuration(
                         absl::Trunc(retry_at_ - now, absl::Milliseconds(1)))));
  return absl::OkStatus();
}

void ChannelCore::SendNext() {
  Write write;
  {
    MutexLock lock(mu_);
    write = NextWrite();
  }
  if (write.stream == nullptr) return;
  if (write.block != nullptr) write.message = write.block->Seal(write.id);
  write.stream->Write(std::move(write.message));
}

ChannelCore::Write ChannelCore::NextWrite() {
  Write write;
  if (state_ != State::kReady || writing_ || sent_ >= options_.in_flight_max)
    return write;
  while (!queue_.empty() && write.stream == nullptr) {
    write.id = queue_.front();
    const auto found = requests_.find(write.id);
    queue_.pop_front();
    if (found == requests_.end()) continue;  // gave up while waiting
    Request& request = found->second;
    request.sent = true;
    request.heard_before = heard_;
    if (sent_++ == 0) {
      silent_since_ = loop_.Now();
      WakeBy(ProbeAt());
    }
    queue_bytes_ -= request.bytes;
    write_by_ = loop_.Now() + options_.write_timeout +
                absl::Seconds(request.bytes / kBytesPerSecondMin);
    WakeBy(write_by_);
    write.message = std::move(request.message);
    // In a block of an earlier stream's memory it goes by gRPC.
    if (shm_ != nullptr) write.block = shm_->Find(write.message);
    if (write.block != nullptr) {
      blocks_.emplace(write.id, write.block);
      shm_stats_.bytes += request.bytes;
    }
    write.stream = stream_;
    writing_ = true;
  }
  return write;
}

void ChannelCore::OnWritten(ClientStream* stream) {
  {
    MutexLock lock(mu_);
    if (stream != stream_.get()) return;
    writing_ = false;
  }
  SendNext();
}

void ChannelCore::OnReply(ClientStream* stream, Rope reply) {
  if (wire::TakeSeal(reply) != wire::SealState::kIntact)
    return OnDamage(stream);
  const uint64_t id = wire::PeekId(reply);
  if (!FetchReply(stream, id, reply)) return OnDamage(stream);
  DataChannel::Done done;
  bool hello;
  {
    MutexLock lock(mu_);
    if (stream != stream_.get()) return;
    hello = state_ == State::kConnecting;
    ++heard_;
    silent_since_ = loop_.Now();
    if (!hello) done = Take(id);  // none: an answer that came too late
    WakeBy(ProbeAt());
  }
  if (hello) return OnHello(stream, reply);
  SendNext();  // before the done, which may take its time
  if (done) done(std::move(reply));
}

bool ChannelCore::FetchReply(ClientStream* stream, uint64_t id, Rope& reply) {
  const std::optional<wire::ShmReply> envelope = wire::ReadShmReply(reply);
  std::shared_ptr<const ShmBlock> block;
  {
    MutexLock lock(mu_);
    if (stream != stream_.get()) return true;
    const auto found = blocks_.find(id);
    if (found != blocks_.end()) {
      block = std::move(found->second);
      blocks_.erase(found);
    }
  }
  if (!envelope.has_value()) return true;
  if (block == nullptr) return false;
  std::optional<Rope> shared = ShmBlock::ReadReply(std::move(block), *envelope);
  if (!shared.has_value()) return false;
  reply = *std::move(shared);
  MutexLock lock(mu_);
  shm_stats_.bytes += reply.size();
  return true;
}

// Whose answer it was cannot be told: its id may be what was damaged.
void ChannelCore::OnDamage(ClientStream* stream) {
  {
    MutexLock lock(mu_);
    if (stream != stream_.get()) return;
    refusal_ = absl::UnavailableError(absl::StrCat(
        "an answer of ", options_.address, " was damaged on the way"));
  }
  stream->Cancel();
}

DataChannel::Done ChannelCore::Take(uint64_t id) {
  const auto found = requests_.find(id);
  if (found == requests_.end()) return nullptr;
  Request& request = found->second;
  if (request.sent) {
    --sent_;
  } else {
    queue_bytes_ -= request.bytes;
  }
  deadlines_.erase({request.deadline, id});
  DataChannel::Done done = std::move(request.done);
  requests_.erase(found);
  return done;
}

std::vector<ChannelCore::Outcome> ChannelCore::TakeAll(
    const absl::Status& sent, const absl::Status& unsent) {
  std::vector<Outcome> outcomes;
  for (auto& entry : requests_)
    outcomes.emplace_back(std::move(entry.second.done),
                          entry.second.sent ? sent : MarkNeverSent(unsent));
  requests_.clear();
  queue_.clear();
  deadlines_.clear();
  queue_bytes_ = 0;
  sent_ = 0;
  return outcomes;
}

void ChannelCore::Call(std::vector<Outcome> outcomes) {
  for (Outcome& outcome : outcomes) outcome.first(std::move(outcome.second));
}

void ChannelCore::Cancel(uint64_t id) {
  DataChannel::Done done;
  bool sent = false;
  {
    MutexLock lock(mu_);
    const auto found = requests_.find(id);
    if (found == requests_.end()) return;
    sent = found->second.sent;
    done = Take(id);
  }
  absl::Status status = absl::CancelledError("the caller gave the request up");
  if (!sent) status = MarkNeverSent(status);
  loop_.Post(
      [done = std::move(done), status = std::move(status)] { done(status); });
  SendNext();
}

void ChannelCore::WakeBy(absl::Duration at) {
  if (at >= wakes_at_) return;
  wakes_at_ = at;
  loop_.WakeAt(at, weak_from_this());
}

absl::Duration ChannelCore::ProbeAt() const {
  return sent_ > 0 && state_ == State::kReady && options_.probe
             ? silent_since_ + options_.probe_after
             : absl::InfiniteDuration();
}

// An ordinary request: OnTimer draws the conclusion when it gets no answer.
void ChannelCore::SendProbe(uint64_t id) {
  Send(id, options_.probe(id), options_.probe_timeout,
       [](absl::StatusOr<Rope>) {});
}

// A length that was damaged on the way leaves a stream on which one side waits
// for ever for the rest of a message. So a stream that said nothing at all from
// a request's writing to its deadline is given up; the next Send makes another.
// So is one that does not take a request: nothing behind that one, no probe
// either, can tell whether it works.
void ChannelCore::OnTimer(absl::Duration now) {
  std::vector<Outcome> late;
  std::shared_ptr<ClientStream> cancelled;
  uint64_t probe = 0;
  {
    MutexLock lock(mu_);
    // One that an earlier wake has replaced: it must not leave one of its own,
    // or there would be ever more of them.
    if (now < wakes_at_) return;
    while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
      const uint64_t id = deadlines_.begin()->second;
      absl::Status status = absl::DeadlineExceededError(
          absl::StrCat("no answer from ", options_.address, " in time"));
      const Request& request = requests_.find(id)->second;
      if (!request.sent) status = MarkNeverSent(status);
      if (request.sent && request.heard_before == heard_ &&
          request.timeout >= kSilence && state_ == State::kReady) {
        cancelled = stream_;
      }
      late.emplace_back(Take(id), std::move(status));
    }
    const bool stuck = state_ == State::kReady && writing_;
    if (stuck && write_by_ <= now) cancelled = stream_;
    if (state_ == State::kConnecting && connect_by_ <= now && refusal_.ok()) {
      refusal_ = absl::UnavailableError(
          absl::StrCat(options_.address,
                       " did not answer the Hello in time; is it a "
                       "Paramo server?"));
      cancelled = stream_;
    }
    if (ProbeAt() <= now) {
      probe = NextId();
      silent_since_ = now + options_.probe_timeout;  // one at a time
    }
    absl::Duration next = ProbeAt();
    if (!deadlines_.empty()) next = std::min(next, deadlines_.begin()->first);
    if (stuck && write_by_ > now) next = std::min(next, write_by_);
    if (state_ == State::kConnecting && connect_by_ > now)
      next = std::min(next, connect_by_);
    wakes_at_ = absl::InfiniteDuration();
    WakeBy(next);
  }
  if (cancelled != nullptr) cancelled->Cancel();
  Call(std::move(late));
  if (probe != 0) SendProbe(probe);
  SendNext();
}

}  // namespace paramo
