// Core: making calls, and the state machine's lock, timer and effects.
// Connecting and connections: core_connect.cc.
#include "client/core/core.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/core/errors.h"
#include "client/core/wire_request.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "common/transport/data_client.h"
#include "common/wire/reply.h"

namespace paramo::client {
namespace {

// Requests above this, or whose replies are, take the bulk lane.
constexpr size_t kBulkBytes = size_t{64} << 10;

bool IsBulk(const Outgoing& out) {
  const Call& call = *out.call;
  return call.is_push && call.session != nullptr
             ? call.session->TakesBulkLane(out.bytes, kBulkBytes)
             : out.bytes > kBulkBytes;
}

Status BadPart(const TableHandle& handle, const std::string& message) {
  ErrorDetails details;
  details.message = message;
  details.table = handle.info.spec.name;
  details.applied = Applied::kNo;
  details.hint = HintFor(Code::kInvalidArgument, 0);
  return Status(Code::kInvalidArgument, std::move(details));
}

// Shapes of one part: `floats` are n x dim, or all elements of a tensor.
Status CheckShape(const TableHandle& handle, bool whole, size_t keys,
                  size_t floats, const char* what) {
  const uint32_t dim = handle.info.spec.dim;
  if (whole) {
    if (floats == handle.elements) return Status();
    return BadPart(
        handle, absl::StrCat(what, " has ", floats, " floats; the tensor has ",
                             handle.elements, " elements"));
  }
  if (keys >= (uint64_t{1} << 32)) {
    return BadPart(handle, absl::StrCat(keys,
                                        " keys in one call; the limit "
                                        "is 4,294,967,295: split it"));
  }
  if (floats == keys * dim) return Status();
  return BadPart(handle,
                 absl::StrCat(what, " has ", floats, " floats; ", keys,
                              " keys of dim ", dim, " need ", keys * dim));
}

// Takes the codec of that name; of none, the table's.
Status ChooseCodec(const std::string& name, Part& part) {
  const TableSpec& spec = part.handle->info.spec;
  auto codec = FindCodec(absl::string_view(name.empty() ? spec.codec : name));
  if (!codec.ok()) {
    return BadPart(*part.handle, std::string(codec.status().message()));
  }
  part.codec = *codec;
  return Status();
}

absl::StatusOr<wire::ReplyView> Parse(absl::StatusOr<Rope> reply) {
  if (!reply.ok()) return reply.status();
  auto view = wire::ParseReply(*std::move(reply));
  if (view.ok()) return view;
  return absl::DataLossError(absl::StrCat("the server's reply cannot be read: ",
                                          ToString(view.status())));
}

bool NeedsKeys(const SectionResult& result) {
  return result.header.reason == static_cast<uint32_t>(wire::Reason::kNeedKeys);
}

template <typename T>
Future<T> Ready(T value) {
  Promise<T> promise;
  promise.Set(std::move(value));
  return promise.future();
}

}  // namespace

// ---- Calls ------------------------------------------------------------------

Status Core::AddPart(const PullPart& in, const std::string& codec, Call& call) {
  const TableHandle& handle = *in.handle;
  Status shape =
      CheckShape(handle, in.whole, in.keys.size(), in.rows.size(), "rows");
  if (!shape.ok()) return shape;
  if (handle.core != this) return BadPart(handle, "it is of another Cluster");
  Part part;
  part.is_pull = true;
  part.handle = in.handle;
  part.keys = in.keys;
  part.rows = in.rows;
  if (Status bad = ChooseCodec(codec, part); !bad.ok()) return bad;
  part.split = in.whole
                   ? handle.blocks
                   : std::make_shared<Split>(SplitKeys(
                         handle.info.id, in.keys, view_->map()->shard_count()));
  call.parts.push_back(std::move(part));
  return Status();
}

Status Core::AddPart(const PushPart& in, const std::string& codec, Call& call) {
  const TableHandle& handle = *in.handle;
  Status shape =
      CheckShape(handle, in.whole, in.keys.size(), in.grads.size(), "grads");
  if (!shape.ok()) return shape;
  if (!in.pulled.empty() && in.pulled.size() != in.grads.size()) {
    return BadPart(handle,
                   absl::StrCat("pulled has ", in.pulled.size(),
                                " floats, grads has ", in.grads.size()));
  }
  if (handle.core != this) return BadPart(handle, "it is of another Cluster");
  Part part;
  part.handle = in.handle;
  part.keys = in.keys;
  part.grads = in.grads;
  part.pulled = in.pulled;
  part.initial = in.initial;
  // First values are no gradients, whose errors pass: they are sent as they
  // are.
  if (Status bad = ChooseCodec(in.initial ? "f32" : codec, part); !bad.ok()) {
    return bad;
  }
  part.split = in.whole
                   ? handle.blocks
                   : std::make_shared<Split>(SplitKeys(
                         handle.info.id, in.keys, view_->map()->shard_count()));
  if (in.initial && !part.split->starts.empty()) {
    return BadPart(handle, "a key occurs twice; a row has one first value");
  }
  call.parts.push_back(std::move(part));
  return Status();
}

absl::Duration Core::Deadline(std::chrono::milliseconds wanted) const {
  const auto ms = wanted.count() > 0 ? wanted : options_.deadline;
  return std::min(absl::FromChrono(ms), absl::Milliseconds(kDeadlineMaxMs));
}

std::shared_ptr<Call> Core::NewCall(std::shared_ptr<Session> session,
                                    const CallOptions& options) {
  auto call = std::make_shared<Call>();
  call->session = std::move(session);
  call->clock = options.clock;
  call->examples = options.examples;
  call->data_position = options.data_position;
  call->start = clock_.Now();
  call->deadline = call->start + Deadline(options.deadline);
  return call;
}

Future<Status> Core::Pull(std::span<const PullPart> parts,
                          std::shared_ptr<Session> session,
                          const CallOptions& options) {
  std::shared_ptr<Call> call = NewCall(std::move(session), options);
  for (const PullPart& part : parts) {
    if (Status bad = AddPart(part, options.codec, *call); !bad.ok()) {
      return Ready(bad);
    }
  }
  pulls_.fetch_add(1, std::memory_order_relaxed);
  Promise<Status> promise;
  Future<Status> future = promise.future();
  call->done = [this, promise](Call& done) mutable {
    promise.Set(MakeStatus(done, clock_.Now()));
  };
  Start(std::move(call));
  return future;
}

Future<Result<PushAck>> Core::Push(std::span<const PushPart> pushes,
                                   std::span<const PullPart> pulls,
                                   std::shared_ptr<Session> session,
                                   const CallOptions& options) {
  std::shared_ptr<Call> call = NewCall(std::move(session), options);
  for (const PushPart& part : pushes) {
    if (Status bad = AddPart(part, options.codec, *call); !bad.ok()) {
      return Ready<Result<PushAck>>(bad);
    }
  }
  for (const PullPart& part : pulls) {
    if (Status bad = AddPart(part, options.codec, *call); !bad.ok()) {
      return Ready<Result<PushAck>>(bad);
    }
  }
  pushes_.fetch_add(1, std::memory_order_relaxed);
  if (!pulls.empty()) pulls_.fetch_add(1, std::memory_order_relaxed);
  call->is_push = true;
  MakeParcels(call->parts, view_->map()->shard_count(), options.end_of_clock,
              call->parcels);
  Promise<Result<PushAck>> promise;
  Future<Result<PushAck>> future = promise.future();
  call->done = [this, promise](Call& done) mutable {
    Status status = MakeStatus(done, clock_.Now());
    if (status.ok()) {
      promise.Set(MakeAck(done));
    } else {
      promise.Set(std::move(status));
    }
  };
  Start(std::move(call));
  return future;
}

Future<Result<PushAck>> Core::Push(std::span<const PushPart> pushes,
                                   std::span<const PullPart> pulls,
                                   const CallOptions& options) {
  auto session = DefaultSession();
  if (!session.ok()) return Ready<Result<PushAck>>(session.status());
  return Push(pushes, pulls, *session, options);
}

void Core::Start(std::shared_ptr<Call> call) {
  if (!call->is_push) {
    MakeParcels(call->parts, view_->map()->shard_count(),
                /*end_of_clock=*/false, call->parcels);
  }
  Step([&](absl::Duration now, Effects& effects) {
    mu_.AssertHeld();
    delivery_.Start(std::move(call), now, effects);
  });
}

Status Core::Flush(std::chrono::milliseconds deadline) {
  const absl::Duration until = clock_.Now() + Deadline(deadline);
  MutexLock lock(mu_);
  const uint64_t newest = delivery_.newest();
  while ((delivery_.oldest() != 0 && delivery_.oldest() <= newest) ||
         (!reporting_.empty() && *reporting_.begin() <= newest)) {
    const absl::Duration left = until - clock_.Now();
    if (left <= absl::ZeroDuration()) {
      return Status(Code::kDeadlineExceeded,
                    "Flush: calls made before are still waiting",
                    HintFor(Code::kDeadlineExceeded, 0));
    }
    reported_.WaitFor(mu_, left);
  }
  return Status();
}

ClusterStats Core::stats() {
  ClusterStats stats;
  stats.pushes = pushes_.load(std::memory_order_relaxed);
  stats.pulls = pulls_.load(std::memory_order_relaxed);
  stats.bytes_sent = bytes_sent_.load(std::memory_order_relaxed);
  stats.bytes_received = bytes_received_.load(std::memory_order_relaxed);
  stats.parked =
      std::chrono::microseconds(parked_us_.load(std::memory_order_relaxed));
  {
    MutexLock lock(channels_mu_);
    for (const auto& [address, lanes] : channels_) {
      const DataChannel::ShmStats shm = lanes.bulk->shm_stats();
      stats.shm_bytes += shm.bytes;
      stats.shm_full += shm.full;
    }
  }
  MutexLock lock(mu_);
  stats.requests = delivery_.counters().requests;
  stats.retries = delivery_.counters().retries;
  return stats;
}

// ---- The state machine's surroundings ---------------------------------------

void Core::Step(const std::function<void(absl::Duration now, Effects&)>& step) {
  Effects effects;
  {
    MutexLock lock(mu_);
    step(clock_.Now(), effects);
    if (delivery_.NextWake() < timer_until_) timer_wake_.NotifyOne();
    Collect(effects);
  }
  Perform(std::move(effects));
}

void Core::Collect(Effects& effects) {
  for (const std::shared_ptr<Call>& call : effects.done) {
    reporting_.insert(call->number);
  }
}

void Core::Perform(Effects effects) {
  for (const std::string& line : effects.log) options_.log(line);
  if (effects.refresh) view_->Refresh();
  for (Outgoing& out : effects.send) {
    const std::shared_ptr<Call> call = out.call;
    Send(std::move(out));
    Step([&](absl::Duration, Effects& more) {
      mu_.AssertHeld();
      delivery_.Release(call, more);
    });
  }
  if (effects.done.empty()) return;
  for (const std::shared_ptr<Call>& call : effects.done) {
    parked_us_.fetch_add(absl::ToInt64Microseconds(call->parked),
                         std::memory_order_relaxed);
    call->done(*call);
  }
  MutexLock lock(mu_);
  for (const std::shared_ptr<Call>& call : effects.done) {
    reporting_.erase(call->number);
  }
  reported_.NotifyAll();
}

void Core::Send(Outgoing out) {
  Lanes& lanes = LanesTo(out.address);
  DataChannel& channel = IsBulk(out) ? *lanes.bulk : *lanes.small;
  const uint64_t id = channel.NextId();
  const size_t reply_bytes = ReplyBytes(out);
  Message message =
      WriteRequest(out, id, view_->map()->cluster_id(), *lanes.sent_lists,
                   [&channel, reply_bytes](size_t bytes) {
                     return channel.MakeBlock(bytes, reply_bytes);
                   });
  bytes_sent_.fetch_add(MessageBytes(message), std::memory_order_relaxed);
  channel.Send(id, std::move(message), out.timeout,
               [this, flight = out.flight,
                sent_lists = lanes.sent_lists](absl::StatusOr<Rope> reply) {
                 OnDone(flight, std::move(reply), *sent_lists);
               });
}

void Core::OnDone(uint64_t flight, absl::StatusOr<Rope> reply,
                  SentLists& sent_lists) {
  const bool never_sent = !reply.ok() && NeverSent(reply.status());
  const absl::StatusOr<wire::ReplyView> view = Parse(std::move(reply));
  if (!view.ok()) {
    Step([&](absl::Duration now, Effects& effects) {
      mu_.AssertHeld();
      delivery_.OnFailure(flight, view.status(), never_sent, now, effects);
    });
    return;
  }
  bytes_received_.fetch_add(view->rope.size(), std::memory_order_relaxed);
  Claimed claimed;
  Step([&](absl::Duration now, Effects& effects) {
    mu_.AssertHeld();
    claimed = delivery_.Claim(flight, now, effects);
  });
  if (claimed.call == nullptr) return;
  const std::vector<SectionResult> results = ReadReply(*view, claimed);
  if (std::any_of(results.begin(), results.end(), NeedsKeys)) {
    sent_lists.OnNeedKeys();
  }
  Step([&](absl::Duration now, Effects& effects) {
    mu_.AssertHeld();
    claimed.call->parked =
        std::max(claimed.call->parked, absl::Microseconds(view->parked_us));
    delivery_.OnReply(claimed, results, now, effects);
  });
}

void Core::RunTimer() {
  while (true) {
    Effects effects;
    {
      MutexLock lock(mu_);
      while (true) {
        if (stopping_) return;
        const absl::Duration now = clock_.Now();
        timer_until_ = delivery_.NextWake();
        if (timer_until_ <= now) break;
        // A day is for ever: the wait takes no infinite duration.
        timer_wake_.WaitFor(mu_, std::min(timer_until_ - now, absl::Hours(24)));
      }
      delivery_.Tick(clock_.Now(), effects);
      timer_until_ = delivery_.NextWake();
      Collect(effects);
    }
    Perform(std::move(effects));
  }
}

}  // namespace paramo::client
