// The life of a call: start, time, end. Sending: delivery_send.cc; answers:
// delivery_reply.cc.
#include "client/core/delivery.h"

#include <algorithm>

#include "client/core/errors.h"
#include "common/base/check.h"

namespace paramo::client {
namespace {

// A call that has waited this long says for what, and again as often.
constexpr absl::Duration kLogAfter = absl::Seconds(5);
constexpr absl::Duration kLogEvery = absl::Seconds(10);

}  // namespace

void Delivery::Start(std::shared_ptr<Call> call, absl::Duration now,
                     Effects& effects) {
  call->number = ++last_number_;
  call->open = call->parcels.size();
  call->progress.resize(call->parcels.size());
  call->next_log = call->filler ? absl::InfiniteDuration() : now + kLogAfter;
  (call->filler ? fillers_ : live_).emplace(call->number, call);
  WakeBy(*call, std::min(call->deadline, call->next_log));
  if (shut_down_) {
    GiveUp(call, absl::CancelledError("the cluster handle is being destroyed"),
           now, effects);
    return;
  }
  if (call->session != nullptr && !call->session->over().ok()) {
    for (uint32_t i = 0; i < call->parcels.size(); ++i) {
      if (!call->parcels[i].is_pull) {
        FailParcel(call, i, call->session->over());
      }
    }
  }
  for (uint32_t i = 0; i < call->parcels.size(); ++i) {
    const bool push = !call->parcels[i].is_pull;
    if (push && call->progress[i].state == ParcelState::kReady &&
        call->progress[i].seq == 0) {
      AdmitOrQueue(call, i);
    }
  }
  Dispatch(call, now, effects);
  FinishIfDone(call, effects);
}

void Delivery::OnMap(std::shared_ptr<const ShardMap> map, absl::Duration now,
                     Effects& effects) {
  if (map_ != nullptr && map->version() <= map_->version()) return;
  map_ = std::move(map);
  std::vector<std::shared_ptr<Call>> calls;
  for (const auto& [number, call] : live_) calls.push_back(call);
  for (const auto& [number, call] : fillers_) calls.push_back(call);
  for (const std::shared_ptr<Call>& call : calls) {
    for (uint32_t i = 0; i < call->parcels.size(); ++i) {
      Progress& progress = call->progress[i];
      const ShardLocation& shard = map_->shard(call->parcels[i].shard);
      if (progress.state == ParcelState::kWaiting && progress.wants_map) {
        progress.state = ParcelState::kReady;
      } else if (progress.state == ParcelState::kInFlight &&
                 progress.epoch != shard.epoch) {
        // Whoever was asked is no longer in charge, and may be gone for good:
        // do not wait for its answer.
        progress.state = ParcelState::kReady;
        progress.left = true;
        progress.flight = 0;
        if (progress.seq != 0) {
          call->session->SetUnsent(call->parcels[i].shard, progress.seq, true);
        }
      }
    }
  }
  for (const std::shared_ptr<Call>& call : calls) {
    Dispatch(call, now, effects);
  }
}

void Delivery::Release(const std::shared_ptr<Call>& call, Effects& effects) {
  PARAMO_CHECK(call->busy > 0);
  --call->busy;
  FinishIfDone(call, effects);
}

// ---- Time -------------------------------------------------------------------

void Delivery::Tick(absl::Duration now, Effects& effects) {
  while (!wake_.empty() && wake_.begin()->first <= now) {
    const uint64_t number = wake_.begin()->second;
    auto found = live_.find(number);
    const std::shared_ptr<Call> call =
        found != live_.end() ? found->second : fillers_.at(number);
    wake_.erase(wake_.begin());
    call->wake = absl::InfiniteDuration();
    if (now >= call->deadline) {
      GiveUp(call, absl::DeadlineExceededError(DescribeWait(*call, now)), now,
             effects);
      continue;
    }
    if (now >= call->next_log) {
      effects.log.push_back(DescribeWait(*call, now));
      call->next_log = now + kLogEvery;
    }
    WakeBy(*call, std::min(call->deadline, call->next_log));
    for (Progress& progress : call->progress) {
      if (progress.state != ParcelState::kWaiting) continue;
      if (progress.due <= now) {
        progress.state = ParcelState::kReady;
      } else {
        WakeBy(*call, progress.due);
      }
    }
    Dispatch(call, now, effects);
  }
}

absl::Duration Delivery::NextWake() const {
  return wake_.empty() ? absl::InfiniteDuration() : wake_.begin()->first;
}

// Has Tick look at the call then, or before.
void Delivery::WakeBy(Call& call, absl::Duration time) {
  if (time >= call.wake) return;
  wake_.erase({call.wake, call.number});
  call.wake = time;
  wake_.insert({call.wake, call.number});
}

// ---- The end ----------------------------------------------------------------

void Delivery::GiveUp(const std::shared_ptr<Call>& call,
                      const absl::Status& why, absl::Duration now,
                      Effects& effects) {
  std::vector<uint32_t> unsettled;
  for (uint32_t i = 0; i < call->parcels.size(); ++i) {
    Progress& progress = call->progress[i];
    if (progress.state == ParcelState::kSettled) continue;
    progress.left |= progress.state == ParcelState::kInFlight ||
                     progress.state == ParcelState::kAnswering;
    if (progress.seq != 0) unsettled.push_back(i);
    progress.error = why;
    Settle(*call, i);
  }
  if (!call->filler && !shut_down_) Fill(*call, unsettled, now, effects);
  FinishIfDone(call, effects);
}

void Delivery::Fill(const Call& call, const std::vector<uint32_t>& parcels,
                    absl::Duration now, Effects& effects) {
  if (parcels.empty() || !call.session->over().ok()) return;
  auto filler = std::make_shared<Call>();
  filler->filler = true;
  filler->is_push = true;
  filler->session = call.session;
  filler->clock = call.clock;
  filler->start = now;
  filler->deadline = absl::InfiniteDuration();
  filler->done = [](Call&) {};
  for (uint32_t i : parcels) {
    Parcel parcel = call.parcels[i];
    parcel.end = parcel.begin;  // no keys
    parcel.end_of_clock = false;
    if (parcel.part != Parcel::kNoPart) {
      // The table, without the caller's memory.
      Part part = call.parts[parcel.part];
      part.keys = {};
      part.grads = {};
      parcel.part = static_cast<uint32_t>(filler->parts.size());
      filler->parts.push_back(std::move(part));
    }
    filler->parcels.push_back(parcel);
    Progress progress;
    progress.seq = call.progress[i].seq;
    progress.left = true;
    filler->progress.push_back(progress);
  }
  Start(std::move(filler), now, effects);
}

void Delivery::Shutdown(Effects& effects) {
  shut_down_ = true;
  const absl::Status why =
      absl::CancelledError("the cluster handle is being destroyed");
  for (auto* calls : {&fillers_, &live_}) {
    while (!calls->empty()) {
      const std::shared_ptr<Call> call = calls->begin()->second;
      if (call->session != nullptr) call->session->End(why);
      GiveUp(call, why, absl::ZeroDuration(), effects);
      // Somebody is still in its memory: Release will finish it.
      calls->erase(call->number);
    }
  }
}

void Delivery::Settle(Call& call, uint32_t parcel) {
  PARAMO_CHECK(call.progress[parcel].state != ParcelState::kSettled);
  call.progress[parcel].state = ParcelState::kSettled;
  --call.open;
}

void Delivery::FinishIfDone(const std::shared_ptr<Call>& call,
                            Effects& effects) {
  if (call->open > 0) return;
  wake_.erase({call->wake, call->number});
  if (call->busy > 0) return;
  (call->filler ? fillers_ : live_).erase(call->number);
  effects.done.push_back(call);
}

}  // namespace paramo::client
