#include "server/service/data_service.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/build.h"
#include "common/base/limits.h"
#include "common/wire/reply.h"
#include "server/service/plan.h"

namespace paramo {

DataService::DataService(const Clock& clock, Budget& held, Budget& replies,
                         MetricsRegistry& metrics, ShardCounters& counters)
    : clock_(clock),
      held_(held),
      replies_(replies),
      counters_(counters),
      requests_(metrics.AddCounter("paramo_requests_total",
                                   "Data requests received")),
      received_bytes_(metrics.AddCounter("paramo_received_bytes_total",
                                         "Bytes of data requests")),
      sent_bytes_(metrics.AddCounter("paramo_sent_bytes_total",
                                     "Bytes of data replies")),
      fallback_(
          metrics.AddCounter("paramo_requests_not_canonical_total",
                             "Requests that needed the generated parser")),
      in_flight_(metrics.AddGauge("paramo_requests_in_flight",
                                  "Data requests being worked on")),
      latency_(metrics.AddHistogram("paramo_request_seconds",
                                    "From request read to reply handed over",
                                    1e-9)),
      key_lists_(metrics) {}

void DataService::SetIdentity(const ServerIdentity& identity) {
  MutexLock lock(mu_);
  routing_.identity = identity;
}

void DataService::OfferShm(std::string directory, uint64_t token) {
  shm_directory_ = std::move(directory);
  shm_token_ = token;
}

void DataService::SetView(std::shared_ptr<const ClusterView> view,
                          std::vector<Shard*> shards) {
  auto shared = std::make_shared<const std::vector<Shard*>>(std::move(shards));
  MutexLock lock(mu_);
  routing_.view = std::move(view);
  routing_.shards = std::move(shared);
}

std::shared_ptr<const ClusterView> DataService::view() const {
  MutexLock lock(mu_);
  return routing_.view;
}

DataService::Routing DataService::CurrentRouting() const {
  MutexLock lock(mu_);
  return routing_;
}

size_t DataService::in_flight() const {
  return static_cast<size_t>(std::max<int64_t>(0, in_flight_.Value()));
}

void DataService::Handle(std::unique_ptr<IncomingCall> call) {
  Routing routing = CurrentRouting();
  Rope rope = call->TakeRequest();
  requests_.Add();
  received_bytes_.Add(rope.size());
  uint64_t id = wire::PeekId(rope);

  auto parsed = wire::ParseRequest(std::move(rope));
  if (!parsed.ok()) {
    return RefuseAll(*call, id, routing.version(),
                     absl::IsResourceExhausted(parsed.status())
                         ? wire::Reason::kTooLarge
                         : wire::Reason::kMalformed,
                     parsed.status());
  }
  wire::RequestView request = *std::move(parsed);
  if (!request.canonical) fallback_.Add();
  const bool stream = call->method() == DataMethod::kStream ||
                      call->method() == DataMethod::kReplicate;
  if (stream && call->first()) {
    return AnswerHello(*call, request, routing);
  }
  wire::Reason reason = wire::Reason::kNone;
  absl::Status status = CheckRequest(*call, request, routing, reason);
  auto data = std::make_shared<RequestData>();
  BudgetCharge reply_charge;
  if (status.ok()) {
    key_lists_.Expand(request);
    status = Admit(request, routing, *data, reply_charge, reason);
  }
  if (!status.ok()) {
    return RefuseAll(*call, request.id, routing.version(), reason, status);
  }
  Dispatch(std::move(call), std::move(request), routing, std::move(data),
           std::move(reply_charge));
}

// A client and a server that do not belong together part here.
void DataService::AnswerHello(IncomingCall& call,
                              const wire::RequestView& request,
                              const Routing& routing) {
  const ServerIdentity& me = routing.identity;
  wire::Reason reason = wire::Reason::kNone;
  absl::Status status;
  if (!request.hello.has_value()) {
    reason = wire::Reason::kMalformed;
    status = absl::InvalidArgumentError(
        "the first message of a stream must carry a Hello");
  } else if (request.hello->protocol_min > wire::kProtocolVersion ||
             request.hello->protocol_max < wire::kProtocolVersion) {
    reason = wire::Reason::kProtocolVersion;
    status = absl::FailedPreconditionError(
        absl::StrCat("the client speaks protocol ", request.hello->protocol_min,
                     " to ", request.hello->protocol_max, ", this server ",
                     wire::kProtocolVersion, ": upgrade the older of the two"));
  } else if (me.cluster_id == 0) {
    reason = wire::Reason::kShuttingDown;
    status = absl::UnavailableError("the server is starting; try again");
  } else if ((request.hello->cluster_id != 0 &&
              request.hello->cluster_id != me.cluster_id) ||
             (request.hello->cluster_incarnation != 0 &&
              request.hello->cluster_incarnation != me.cluster_incarnation)) {
    reason = wire::Reason::kWrongCluster;
    status = absl::FailedPreconditionError(
        "this server belongs to another cluster: check the address");
  }
  if (!status.ok()) {
    counters_.CountRefusal(reason);
    return call.Fail(status);
  }
  wire::Hello hello;
  hello.cluster_id = me.cluster_id;
  hello.cluster_incarnation = me.cluster_incarnation;
  hello.server_id = me.server_id;
  hello.server_incarnation = me.incarnation;
  hello.build = kBuild;
  hello.shm_directory = shm_directory_;
  hello.shm_token = shm_token_;
  hello.key_lists = true;
  call.Reply(wire::WriteReply(request.id, 0, wire::Reason::kNone,
                              routing.version(), "", &hello));
}

absl::Status DataService::CheckRequest(const IncomingCall& call,
                                       const wire::RequestView& request,
                                       const Routing& routing,
                                       wire::Reason& reason) const {
  if (request.cluster != 0 && request.cluster != routing.identity.cluster_id) {
    reason = wire::Reason::kWrongCluster;
    return absl::FailedPreconditionError(
        "the request names another cluster: check the address");
  }
  if (call.method() == DataMethod::kPush && !request.pull.empty()) {
    reason = wire::Reason::kUnsupported;
    return absl::InvalidArgumentError(
        "Push takes no pull sections; PushPull "
        "takes both");
  }
  if (call.method() == DataMethod::kPull && !request.push.empty()) {
    reason = wire::Reason::kUnsupported;
    return absl::InvalidArgumentError(
        "Pull takes no push sections; PushPull "
        "takes both");
  }
  if (call.timeout() <= absl::ZeroDuration()) {
    reason = wire::Reason::kDeadline;
    return absl::DeadlineExceededError(
        "the deadline had passed on arrival; nothing was done");
  }
  if (routing.view == nullptr) {
    reason = wire::Reason::kShuttingDown;
    return absl::UnavailableError("the server is starting; try again");
  }
  return absl::OkStatus();
}

// Bounds what the request holds and what its answer takes.
absl::Status DataService::Admit(const wire::RequestView& request,
                                const Routing& routing, RequestData& data,
                                BudgetCharge& reply_charge,
                                wire::Reason& reason) {
  size_t answer = PulledBytes(request, *routing.view);
  if (answer > kMessageBytesMax - (size_t{1} << 20)) {
    reason = wire::Reason::kTooLarge;
    return absl::ResourceExhaustedError(absl::StrCat(
        "the rows pulled take ", answer, " bytes; one reply holds ",
        kMessageBytesMax - (size_t{1} << 20), ": pull fewer at a time"));
  }
  auto overloaded = [&reason](const char* what, const Budget& budget) {
    reason = wire::Reason::kOverloaded;
    return absl::ResourceExhaustedError(absl::StrCat(
        "the server holds ", budget.held(), " bytes of ", what, ", of ",
        budget.bytes_max(), "; try again in ", kRetryAfterMs, " ms"));
  };
  if (!held_.TryCharge(request.rope.pinned_bytes(), data.charge)) {
    return overloaded("requests", held_);
  }
  if (!replies_.TryCharge(answer, reply_charge)) {
    return overloaded("replies", replies_);
  }
  return absl::OkStatus();
}

void DataService::Dispatch(std::unique_ptr<IncomingCall> call,
                           wire::RequestView request, const Routing& routing,
                           std::shared_ptr<RequestData> data,
                           BudgetCharge reply_charge) {
  size_t push_keys = 0;
  size_t pull_keys = 0;
  for (const auto& section : request.push) push_keys += section.keys.size / 8;
  for (const auto& section : request.pull) pull_keys += section.keys.size / 8;
  data->keys.resize(push_keys + pull_keys);
  data->rows.resize(push_keys);
  data->rope = std::move(request.rope);

  absl::Duration now = clock_.Now();
  uint32_t timeout_ms = request.deadline_ms == 0
                            ? kDeadlineDefaultMs
                            : std::min(request.deadline_ms, kDeadlineMaxMs);
  absl::Duration timeout =
      std::min(absl::Milliseconds(timeout_ms), call->timeout());

  // Owns itself from here on: it goes when its reply has been handed over.
  auto* served =
      new ServedRequest(std::move(call), request.id, routing.version());
  served->started = now;
  served->reply_charge = std::move(reply_charge);
  in_flight_.Add(1);
  const int work = request.push.empty() && request.pull.empty() ? 0 : 1;
  progress_.fetch_add(work, std::memory_order_relaxed);
  served->on_done = [this, work](const ServedRequest& done,
                                 size_t reply_bytes) {
    in_flight_.Add(-1);
    progress_.fetch_add(work, std::memory_order_relaxed);
    sent_bytes_.Add(reply_bytes);
    latency_.Record(static_cast<uint64_t>(
        absl::ToInt64Nanoseconds(clock_.Now() - done.started)));
  };
  PlanSections(request,
               {*routing.view, *routing.shards, counters_,
                routing.identity.server_id, now + timeout},
               data, *served);
  data.reset();  // the tasks hold it now; parked pulls let go of it
  served->Run();
}

void DataService::RefuseAll(IncomingCall& call, uint64_t id, uint64_t version,
                            wire::Reason reason, const absl::Status& status) {
  counters_.CountRefusal(reason);
  // Whoever means another cluster has no business on this stream.
  bool answerable = call.method() == DataMethod::kStream && id != 0 &&
                    reason != wire::Reason::kWrongCluster;
  if (!answerable) return call.Fail(status);
  Message message = wire::WriteReply(
      id, static_cast<uint32_t>(status.code()), reason, version,
      std::string(status.message().data(), status.message().size()), nullptr);
  sent_bytes_.Add(MessageBytes(message));
  call.Reply(std::move(message));
}

}  // namespace paramo
