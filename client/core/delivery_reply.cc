// Delivery: what an answer, or its absence, means for each parcel.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "client/core/delivery.h"
#include "client/core/errors.h"
#include "common/base/check.h"
#include "common/base/limits.h"

namespace paramo::client {
namespace {

using wire::Reason;

constexpr absl::Duration kBackoffFirst = absl::Milliseconds(5);
constexpr int kBackoffDoublings = 6;  // 320 ms at most

Reason ReasonOf(const SectionResult& result) {
  return static_cast<Reason>(result.header.reason);
}

bool EndsSession(Reason reason) {
  return reason == Reason::kSessionExpired ||
         reason == Reason::kSessionFenced || reason == Reason::kNotAMember;
}

// A limit on what is in flight passes; one on sizes does not.
bool WaitingHelps(Reason reason) {
  return reason != Reason::kRows && reason != Reason::kTooLarge;
}

// Whether the server is in no state to do what it was asked. (ABORTED is no
// trouble: the request went to the wrong place.)
bool IsTrouble(const SectionResult& result) {
  const auto code = static_cast<absl::StatusCode>(result.header.code);
  return code == absl::StatusCode::kUnavailable ||
         (code == absl::StatusCode::kResourceExhausted &&
          WaitingHelps(ReasonOf(result)));
}

// A server that refuses our connections may be starting, its address may be
// another's by now, which a newer map will tell, or the bytes that it refused
// were damaged on the way. It gets this long to change its mind.
constexpr absl::Duration kRefusalPatience = absl::Seconds(5);

// Whether a connection that failed like this `waited` after the call's start
// may work the next time.
bool IsFinalFailure(absl::StatusCode code, absl::Duration waited) {
  const bool refused = code == absl::StatusCode::kFailedPrecondition ||
                       code == absl::StatusCode::kInvalidArgument ||
                       code == absl::StatusCode::kUnimplemented ||
                       code == absl::StatusCode::kPermissionDenied ||
                       code == absl::StatusCode::kUnauthenticated;
  return refused && waited >= kRefusalPatience;
}

}  // namespace

Claimed Delivery::Claim(uint64_t flight, absl::Duration now, Effects& effects) {
  Claimed claimed;
  auto found = flights_.find(flight);
  if (found == flights_.end()) return claimed;
  const std::shared_ptr<Call> call = std::move(found->second.call);
  claimed.parcels = std::move(found->second.parcels);
  claimed.address = std::move(found->second.address);
  const LoadKey key = LoadKeyOf(*call, claimed.address);
  Load& load = loads_[key];
  --load.requests;
  load.bytes -= found->second.bytes;
  flights_.erase(found);
  for (uint32_t parcel : claimed.parcels) {
    Progress& progress = call->progress[parcel];
    const bool wanted =
        progress.flight == flight && progress.state == ParcelState::kInFlight;
    claimed.wanted.push_back(wanted);
    if (!wanted) continue;
    progress.state = ParcelState::kAnswering;
    claimed.call = call;
  }
  if (claimed.call != nullptr) {
    ++call->busy;
  } else {
    DispatchWaiting(key, now, effects);
  }
  return claimed;
}

void Delivery::OnReply(const Claimed& claimed,
                       const std::vector<SectionResult>& results,
                       absl::Duration now, Effects& effects) {
  PARAMO_CHECK(claimed.parcels.size() == results.size());
  if (std::any_of(results.begin(), results.end(), IsTrouble)) {
    budget_.NoteFailure();
  } else {
    budget_.NoteAnswer();
  }
  const absl::Duration backoff = Backoff(*claimed.call, claimed);
  for (size_t i = 0; i < results.size(); ++i) {
    const Progress& progress = claimed.call->progress[claimed.parcels[i]];
    // Given up in the meantime?
    if (!claimed.wanted[i] || progress.state != ParcelState::kAnswering) {
      continue;
    }
    HandleAnswer(claimed.call, claimed.parcels[i], results[i], backoff, now,
                 effects);
  }
  Dispatch(claimed.call, now, effects);
  DispatchWaiting(LoadKeyOf(*claimed.call, claimed.address), now, effects);
  Release(claimed.call, effects);
}

void Delivery::OnFailure(uint64_t flight, const absl::Status& why,
                         bool never_sent, absl::Duration now,
                         Effects& effects) {
  const Claimed claimed = Claim(flight, now, effects);
  const std::shared_ptr<Call>& call = claimed.call;
  if (call == nullptr) return;
  effects.refresh = true;
  budget_.NoteFailure();
  const absl::Duration backoff = Backoff(*call, claimed);
  for (size_t i = 0; i < claimed.parcels.size(); ++i) {
    const uint32_t parcel = claimed.parcels[i];
    Progress& progress = call->progress[parcel];
    if (!claimed.wanted[i] || progress.state != ParcelState::kAnswering) {
      continue;
    }
    progress.left |= !never_sent;
    if (IsFinalFailure(why.code(), now - call->start) && !call->filler) {
      if (progress.seq != 0) Fill(*call, {parcel}, now, effects);
      FailParcel(call, parcel, why);
    } else {
      RetryLater(*call, parcel, why, backoff, /*wants_map=*/true, now);
    }
  }
  DispatchWaiting(LoadKeyOf(*call, claimed.address), now, effects);
  Release(call, effects);
}

void Delivery::HandleAnswer(const std::shared_ptr<Call>& call, uint32_t index,
                            const SectionResult& result, absl::Duration backoff,
                            absl::Duration now, Effects& effects) {
  const Parcel& parcel = call->parcels[index];
  Progress& progress = call->progress[index];
  if (result.header.code != 0) {
    HandleRefusal(call, index, result, backoff, now, effects);
    return;
  }
  if (parcel.is_pull) {
    const bool stale = result.header.epoch < progress.floor_epoch ||
                       (result.header.epoch == progress.floor_epoch &&
                        result.header.lsn < progress.floor_lsn);
    if (stale) {
      RetryLater(*call, index,
                 absl::UnavailableError(
                     "the server answered from a state older than this "
                     "session has seen"),
                 backoff, /*wants_map=*/true, now);
      return;
    }
    // PushPull: the push of this shard was not taken, so this is too old.
    if (!MayPull(*call, parcel, 0)) {
      progress.state = ParcelState::kReady;
      return;
    }
  }
  progress.answer = result.header;
  progress.error = absl::OkStatus();
  if (call->session != nullptr) {
    call->session->Saw(parcel.shard, result.header.history, result.header.epoch,
                       result.header.lsn);
  }
  Settle(*call, index);
  if (progress.seq != 0) SettleNumber(call, index);
}

void Delivery::HandleRefusal(const std::shared_ptr<Call>& call, uint32_t index,
                             const SectionResult& result,
                             absl::Duration backoff, absl::Duration now,
                             Effects& effects) {
  const Parcel& parcel = call->parcels[index];
  Progress& progress = call->progress[index];
  const wire::SectionReplyHeader& header = result.header;
  const auto code = static_cast<absl::StatusCode>(header.code);
  const absl::Status why(code, result.message);
  progress.answer = header;
  const bool numbered = progress.seq != 0;
  if (numbered && EndsSession(ReasonOf(result))) {
    FailParcel(call, index, why);
    EndSession(call->session, why, effects);
    return;
  }
  // The server has forgotten pushes that it had acknowledged when this one was
  // sent: nothing will fill the gap it sees. (Those acknowledged since may have
  // come behind this one.)
  if (numbered && ReasonOf(result) == Reason::kSeqGap &&
      header.expected_seq != 0 && header.expected_seq < progress.lowest) {
    const absl::Status lost = absl::DataLossError(absl::StrCat(
        "shard ", parcel.shard, " expects push ", header.expected_seq,
        " of this session, but push ", progress.lowest - 1,
        " was acknowledged: its server lost what it had"));
    FailParcel(call, index, lost);
    EndSession(call->session, lost, effects);
    return;
  }
  switch (code) {
    case absl::StatusCode::kAborted: {
      // What is sent again has its keys: it goes at once.
      const bool needs_keys =
          ReasonOf(result) == Reason::kNeedKeys && progress.attempts == 1;
      effects.refresh |= !needs_keys;
      RetryLater(*call, index, why, backoff,
                 /*wants_map=*/true, now);
      // The map may have come while the request was under way.
      if (needs_keys || progress.epoch != map_->shard(parcel.shard).epoch) {
        progress.state = ParcelState::kReady;
      }
      return;
    }
    case absl::StatusCode::kUnavailable:
      // It may have been appended before its primary changed.
      progress.left = true;
      effects.refresh = true;
      RetryLater(*call, index, why, backoff,
                 /*wants_map=*/true, now);
      return;
    case absl::StatusCode::kDataLoss:
      if (ReasonOf(result) != Reason::kChecksum) break;
      RetryLater(*call, index, why, backoff,
                 /*wants_map=*/false, now);
      return;
    case absl::StatusCode::kResourceExhausted: {
      if (!WaitingHelps(ReasonOf(result))) break;
      const auto hint = absl::Milliseconds(
          std::max<uint32_t>(header.retry_after_ms, kRetryAfterMs));
      RetryLater(*call, index, why, hint + backoff, /*wants_map=*/false, now);
      return;
    }
    default:
      break;
  }
  // Final. A definite refusal consumes the number, unless it was made before
  // the server looked at the number, or is about a limit.
  const bool consumed =
      numbered && result.answered &&
      code != absl::StatusCode::kDeadlineExceeded &&
      code != absl::StatusCode::kResourceExhausted &&
      (header.expected_seq == 0 || header.expected_seq > progress.seq);
  if (numbered && !consumed) {
    if (call->filler) {
      RetryLater(*call, index, why, backoff,
                 /*wants_map=*/true, now);
      return;
    }
    progress.left |= code == absl::StatusCode::kDeadlineExceeded;
    Fill(*call, {index}, now, effects);
  }
  FailParcel(call, index, why);
  if (consumed) SettleNumber(call, index);
}

void Delivery::RetryLater(Call& call, uint32_t parcel, absl::Status why,
                          absl::Duration delay, bool wants_map,
                          absl::Duration now) {
  Progress& progress = call.progress[parcel];
  progress.state = ParcelState::kWaiting;
  progress.flight = 0;
  progress.error = std::move(why);
  progress.due = now + delay;
  progress.wants_map = wants_map;
  WakeBy(call, progress.due);
  if (progress.seq != 0) {
    call.session->SetUnsent(call.parcels[parcel].shard, progress.seq, true);
  }
}

// 5, 10, 20, ... 320 ms by attempts, or the last at once when the budget is
// spent; times a random factor in [0.5, 1), so that many clients do not come
// back together. One for all parcels of a request, so that they come back in
// one.
absl::Duration Delivery::Backoff(const Call& call, const Claimed& claimed) {
  int attempts = 1;
  for (uint32_t parcel : claimed.parcels) {
    attempts = std::max(attempts, call.progress[parcel].attempts);
  }
  const int doublings = budget_.spent()
                            ? kBackoffDoublings
                            : std::min(attempts - 1, kBackoffDoublings);
  return kBackoffFirst * (1 << doublings) * (0.5 + 0.5 * jitter_.Uniform());
}

void Delivery::SettleNumber(const std::shared_ptr<Call>& call,
                            uint32_t parcel) {
  const ShardId shard = call->parcels[parcel].shard;
  call->session->Settle(shard, call->progress[parcel].seq);
  if (call->session->HasWaiting(shard)) {
    moved_.emplace_back(call->session, shard);
  }
}

// A pull that failed on one shard is of no use: its other parcels stop too. A
// push goes on, so that its error can say what was applied.
void Delivery::FailParcel(const std::shared_ptr<Call>& call, uint32_t parcel,
                          absl::Status why) {
  call->progress[parcel].error = std::move(why);
  Settle(*call, parcel);
  if (call->is_push) return;
  for (uint32_t i = 0; i < call->parcels.size(); ++i) {
    if (call->progress[i].state == ParcelState::kSettled) continue;
    call->progress[i].error = absl::OkStatus();
    Settle(*call, i);
  }
}

void Delivery::EndSession(const std::shared_ptr<Session>& session,
                          const absl::Status& why, Effects& effects) {
  session->End(why);
  std::vector<std::shared_ptr<Call>> calls;
  for (const auto& [number, call] : live_) {
    if (call->session == session && call->is_push) calls.push_back(call);
  }
  for (const auto& [number, call] : fillers_) {
    if (call->session == session) calls.push_back(call);
  }
  for (const std::shared_ptr<Call>& call : calls) {
    for (uint32_t i = 0; i < call->parcels.size(); ++i) {
      Progress& progress = call->progress[i];
      if (progress.state == ParcelState::kSettled) continue;
      progress.left |= progress.state == ParcelState::kInFlight ||
                       progress.state == ParcelState::kAnswering;
      FailParcel(call, i, why);
    }
    FinishIfDone(call, effects);
  }
}

}  // namespace paramo::client
