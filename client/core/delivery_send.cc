// Delivery: numbers, grouping by server, headers.
#include <algorithm>
#include <utility>

#include "client/core/delivery.h"
#include "common/base/check.h"
#include "common/base/limits.h"

namespace paramo::client {
namespace {

// A filler has no deadline of its own; one attempt may take this long.
constexpr absl::Duration kFillerTimeout = absl::Seconds(10);

// A shard without a server is looked at again this soon, map or no map.
constexpr absl::Duration kNoServerDelay = absl::Milliseconds(250);

}  // namespace

void Delivery::AdmitOrQueue(const std::shared_ptr<Call>& call,
                            uint32_t parcel) {
  Progress& progress = call->progress[parcel];
  if (call->session == nullptr) return;  // a push without a session
  Session& session = *call->session;
  const ShardId shard = call->parcels[parcel].shard;
  if (session.queue(shard).empty() && session.MayTake(shard)) {
    progress.seq = session.Take(shard);
    return;
  }
  progress.state = ParcelState::kQueued;
  session.queue(shard).push_back({call, parcel});
}

// Sends what is ready of the call, then what had to follow it, and so on.
void Delivery::Dispatch(const std::shared_ptr<Call>& call, absl::Duration now,
                        Effects& effects) {
  if (map_ == nullptr) return;
  SendReady(call, now, effects);
  while (!moved_.empty()) {
    std::map<uint64_t, std::shared_ptr<Call>> followers;
    LetFollow(followers);
    for (const auto& [number, follower] : followers) {
      SendReady(follower, now, effects);
    }
  }
}

// Makes ready what waits on the shards of moved_ and may go now. All of it,
// before any of it is sent: what one answer lets go of a call is one request.
void Delivery::LetFollow(std::map<uint64_t, std::shared_ptr<Call>>& calls) {
  const auto let_go = [&calls](Session& session, ShardId shard,
                               const QueuedPush& push) {
    Progress& progress = push.call->progress[push.parcel];
    if (progress.state == ParcelState::kSettled) return;  // gave up
    if (progress.seq == 0) progress.seq = session.Take(shard);
    progress.state = ParcelState::kReady;
    calls.try_emplace(push.call->number, push.call);
  };
  for (const auto& [session, shard] : std::exchange(moved_, {})) {
    auto& kept_back = session->kept_back(shard);
    while (!kept_back.empty() &&
           !session->MustFollow(shard, kept_back.begin()->first)) {
      let_go(*session, shard, kept_back.extract(kept_back.begin()).mapped());
    }
    auto& queue = session->queue(shard);
    while (!queue.empty() && session->MayTake(shard)) {
      let_go(*session, shard, std::exchange(queue.front(), {}));
      queue.pop_front();
    }
  }
}

// Whether a ready parcel may go out now; otherwise notes what it waits for.
bool Delivery::IsSendable(const std::shared_ptr<Call>& call, uint32_t index,
                          absl::Duration now, Effects& effects) {
  Progress& progress = call->progress[index];
  const ShardId shard = call->parcels[index].shard;
  if (progress.state != ParcelState::kReady) return false;
  if (map_->shard(shard).server_index == ShardMap::kNoServer) {
    RetryLater(*call, index,
               absl::UnavailableError("no server holds the shard now"),
               kNoServerDelay, /*wants_map=*/true, now);
    effects.refresh = true;
    return false;
  }
  if (progress.seq != 0 && call->session->MustFollow(shard, progress.seq)) {
    progress.state = ParcelState::kKeptBack;
    call->session->kept_back(shard)[progress.seq] = {call, index};
    return false;
  }
  if (call->filler || (progress.attempts > 0 && call->is_push)) return true;
  Load& load = loads_[LoadKeyOf(*call, map_->address(shard))];
  if (load.requests == 0 ||
      (load.requests < kRequestsPerServerMax &&
       load.bytes + call->parcels[index].bytes <= kBytesPerServerMax)) {
    return true;
  }
  if (load.waiting.empty() || load.waiting.back() != call) {
    load.waiting.push_back(call);
  }
  return false;
}

// Groups what is ready by server, one request each; more when a request would
// exceed kRequestBytesTarget.
void Delivery::SendReady(const std::shared_ptr<Call>& call, absl::Duration now,
                         Effects& effects) {
  std::vector<Outgoing> requests;  // by server, at most one unfinished each
  for (uint32_t i = 0; i < call->parcels.size(); ++i) {
    if (!IsSendable(call, i, now, effects)) continue;
    const Parcel& parcel = call->parcels[i];
    const uint32_t server = map_->shard(parcel.shard).server_index;
    auto out =
        std::find_if(requests.begin(), requests.end(),
                     [&](const Outgoing& o) { return o.server == server; });
    if (out != requests.end() &&
        (out->bytes + parcel.bytes > kRequestBytesTarget ||
         out->sections.size() >= kSectionsMax)) {
      Launch(std::move(*out), effects);
      requests.erase(out);
      out = requests.end();
      if (!IsSendable(call, i, now, effects)) continue;
    }
    const bool open = out != requests.end();
    if (parcel.is_pull && !MayPull(*call, parcel, open ? out->flight : 0)) {
      continue;
    }
    if (!open) {
      requests.push_back(NewRequest(call, server, now));
      out = requests.end() - 1;
    }
    AddToRequest(call, i, *out);
  }
  for (Outgoing& out : requests) Launch(std::move(out), effects);
}

// The server has answered something: who waited for that may send more.
void Delivery::DispatchWaiting(const LoadKey& key, absl::Duration now,
                               Effects& effects) {
  Load& load = loads_[key];  // stays: only this function erases
  for (size_t n = load.waiting.size(); n > 0; --n) {
    if (load.requests >= kRequestsPerServerMax ||
        load.bytes >= kBytesPerServerMax) {
      return;
    }
    const std::shared_ptr<Call> call = std::move(load.waiting.front());
    load.waiting.pop_front();
    if (call->open == 0) continue;
    Dispatch(call, now, effects);
    if (!load.waiting.empty() && load.waiting.back() == call) {
      // There is too little room for the rest of it, so the others wait too.
      load.waiting.pop_back();
      load.waiting.push_front(call);
      return;
    }
  }
  if (load.requests == 0) loads_.erase(key);
}

Outgoing Delivery::NewRequest(const std::shared_ptr<Call>& call,
                              uint32_t server, absl::Duration now) {
  Outgoing out;
  out.flight = ++last_flight_;
  out.call = call;
  out.server = server;
  out.address = map_->servers()[server].address;
  out.timeout = call->filler ? kFillerTimeout : call->deadline - now;
  return out;
}

// A pull of a PushPull must see the pushes of its shard: it goes with them in
// one request (`flight`), or after they are settled.
bool Delivery::MayPull(const Call& call, const Parcel& pull,
                       uint64_t flight) const {
  if (!call.is_push) return true;
  for (uint32_t i = 0; i < call.parcels.size(); ++i) {
    if (call.parcels[i].is_pull) break;
    if (call.parcels[i].shard != pull.shard) continue;
    const Progress& push = call.progress[i];
    const bool together = push.state == ParcelState::kInFlight && flight != 0 &&
                          push.flight == flight;
    if (push.state != ParcelState::kSettled && !together) return false;
  }
  return true;
}

void Delivery::AddToRequest(const std::shared_ptr<Call>& call, uint32_t parcel,
                            Outgoing& out) {
  Progress& progress = call->progress[parcel];
  const ShardId shard = call->parcels[parcel].shard;
  const bool again = progress.attempts++ > 0;
  if (again) ++counters_.retries;
  progress.state = ParcelState::kInFlight;
  progress.flight = out.flight;
  progress.epoch = map_->shard(shard).epoch;
  progress.endpoint = out.address;
  if (progress.seq != 0) {
    progress.lowest = call->session->lowest(shard);
    call->session->SetUnsent(shard, progress.seq, false);
    if (!call->session->kept_back(shard).empty()) {
      moved_.emplace_back(call->session, shard);
    }
  }
  progress.floor_epoch = progress.floor_lsn = 0;
  // Positions of another history mean nothing in this one.
  if (call->session != nullptr &&
      call->session->history(shard) == map_->shard(shard).history) {
    progress.floor_epoch = call->session->floor_epoch(shard);
    progress.floor_lsn = call->session->floor_lsn(shard);
  }
  out.sections.push_back({parcel, MakeHeader(*call, parcel), again});
  out.bytes += call->parcels[parcel].bytes;
}

wire::SectionHeader Delivery::MakeHeader(const Call& call,
                                         uint32_t index) const {
  const Parcel& parcel = call.parcels[index];
  const Progress& progress = call.progress[index];
  const ShardLocation& location = map_->shard(parcel.shard);
  wire::SectionHeader header;
  header.shard = parcel.shard;
  header.epoch = location.epoch;
  header.history = location.history;
  if (call.session != nullptr) {
    header.session = call.session->id();
    header.session_epoch = call.session->epoch();
  }
  header.seq = progress.seq;
  header.clock = call.clock;
  header.examples = call.examples;
  // An end of clock without rows names a table too, when the call has one.
  header.flags = parcel.end_of_clock ? wire::kFlagEndOfClock : 0;
  if (!call.parts.empty()) {
    const bool empty = parcel.part == Parcel::kNoPart;
    const Part& part = call.parts[empty ? 0 : parcel.part];
    header.table = part.handle->info.id;
    header.table_version =
        part.handle->version->load(std::memory_order_relaxed);
    if (!empty && !part.pulled.empty()) header.flags |= wire::kFlagWithPulled;
    if (!empty && part.initial) header.flags |= wire::kFlagInitial;
    if (!empty) header.codec = part.codec->id;
  }
  header.data_position = call.data_position;
  header.floor_epoch = progress.floor_epoch;
  header.floor_lsn = progress.floor_lsn;
  return header;
}

void Delivery::Launch(Outgoing out, Effects& effects) {
  Flight flight;
  flight.call = out.call;
  for (const Outgoing::Section& section : out.sections) {
    flight.parcels.push_back(section.parcel);
  }
  flight.address = out.address;
  flight.bytes = out.bytes;
  Load& load = loads_[LoadKeyOf(*out.call, out.address)];
  ++load.requests;
  load.bytes += out.bytes;
  flights_.emplace(out.flight, std::move(flight));
  ++out.call->busy;
  ++counters_.requests;
  effects.send.push_back(std::move(out));
}

}  // namespace paramo::client
