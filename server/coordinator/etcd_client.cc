#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/transport/settings.h"
#include "server/coordinator/etcd_client_internal.h"

namespace paramo {
namespace {

// Between rounds over all endpoints.
constexpr absl::Duration kPause = absl::Milliseconds(50);
// A member that comes back is found again within this time.
constexpr int kReconnectMaxMsOfEtcd = 500;

std::shared_ptr<grpc::Channel> MakeChannel(const EtcdKvOptions& options,
                                           const std::string& address) {
  KeepGrpcInitialised();
  grpc::ChannelArguments arguments;
  ApplyClientSettings(arguments, kMessageBytesMax, options.connect_timeout);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMinMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectMaxMsOfEtcd);
  return grpc::CreateCustomChannel(address, EtcdCredentials(options.security),
                                   arguments);
}

// Whether another endpoint, or the same one later, may answer.
bool IsPassing(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAVAILABLE ||
         status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
}

// It does not know our token any more, or what it may do has changed since.
// INVALID_ARGUMENT in part, as if the request were at fault.
bool WantsNewToken(const grpc::Status& status) {
  return absl::StrContains(status.error_message(), "invalid auth token") ||
         absl::StrContains(status.error_message(), "revision of auth store");
}

// Refused before etcd proposed anything to its members.
bool NothingHappened(const grpc::Status& status) {
  return WantsNewToken(status) ||
         absl::StrContains(status.error_message(), "etcdserver: no leader");
}

}  // namespace

absl::Status FromEtcd(const grpc::Status& status,
                      const EtcdEndpoint& endpoint) {
  if (status.ok()) return absl::OkStatus();
  std::string text =
      absl::StrCat("etcd ", endpoint.address, ": ", status.error_message());
  const std::string& message = status.error_message();
  if (absl::StrContains(message, "database space exceeded")) {
    return absl::ResourceExhaustedError(absl::StrCat(
        text,
        " (alarm NOSPACE: compact and defragment etcd or raise its "
        "quota, then `etcdctl alarm disarm`)"));
  }
  // etcd says INVALID_ARGUMENT in part, as if the request were at fault.
  const auto wrong = [&](absl::string_view what_to_do) {
    return absl::FailedPreconditionError(
        absl::StrCat(text, " (", what_to_do, ")"));
  };
  if (absl::StrContains(message, "user name is empty")) {
    return wrong(
        "it wants a password: give --etcd-user and --etcd-password-file");
  }
  if (absl::StrContains(message, "authentication failed")) {
    return wrong("check --etcd-user and what is in --etcd-password-file");
  }
  if (absl::StrContains(message, "authentication is not enabled")) {
    return wrong("leave --etcd-user out, or `etcdctl auth enable`");
  }
  if (status.error_code() == grpc::StatusCode::PERMISSION_DENIED) {
    return wrong(
        "the user needs a role that reads and writes all keys below "
        "/paramo/NAME/: `etcdctl role grant-permission ROLE --prefix=true "
        "readwrite /paramo/NAME/`");
  }
  if (status.error_code() == grpc::StatusCode::UNAUTHENTICATED ||
      WantsNewToken(status)) {
    return wrong("it does not accept this user's token");
  }
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), text);
}

std::string EtcdPrefixEnd(std::string prefix) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff) {
    prefix.pop_back();
  }
  if (prefix.empty()) return std::string(1, '\0');  // to the end of all keys
  ++prefix.back();
  return prefix;
}

EtcdClient::EtcdClient(const EtcdKvOptions& options) : options_(options) {
  for (const std::string& address : options.endpoints) {
    EtcdEndpoint& endpoint = endpoints_.emplace_back();
    endpoint.address = address;
    endpoint.channel = MakeChannel(options, address);
    endpoint.kv = etcdserverpb::KV::NewStub(endpoint.channel);
    endpoint.lease = etcdserverpb::Lease::NewStub(endpoint.channel);
    endpoint.watch = etcdserverpb::Watch::NewStub(endpoint.channel);
    endpoint.maintenance = etcdserverpb::Maintenance::NewStub(endpoint.channel);
    endpoint.auth = etcdserverpb::Auth::NewStub(endpoint.channel);
  }
}

std::string EtcdClient::Token() {
  MutexLock lock(mu_);
  return token_;
}

void EtcdClient::ForgetToken() {
  MutexLock lock(mu_);
  token_.clear();
}

// With hasleader, a member that has lost its etcd leader says so at once.
void EtcdClient::Prepare(grpc::ClientContext& context) {
  context.AddMetadata("hasleader", "true");
  const std::string token = Token();
  if (!token.empty()) context.AddMetadata("token", token);
}

void EtcdClient::Avoid(const EtcdEndpoint& endpoint) {
  size_t current = current_.load(std::memory_order_relaxed);
  if (&endpoints_[current % endpoints_.size()] != &endpoint) return;
  current_.compare_exchange_strong(current, current + 1,
                                   std::memory_order_relaxed);
}

absl::Status EtcdClient::CheckHeader(
    const EtcdEndpoint& endpoint, const etcdserverpb::ResponseHeader& header) {
  uint64_t ours = 0;
  if (cluster_id_.compare_exchange_strong(ours, header.cluster_id()) ||
      ours == header.cluster_id()) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrFormat(
      "etcd %s belongs to etcd cluster %016x, the others to %016x: name the "
      "endpoints of one cluster",
      endpoint.address, header.cluster_id(), ours));
}

// Waits for the connection itself, so that a call to a dead endpoint is known
// not to have been sent.
absl::Status EtcdClient::ConnectTo(EtcdEndpoint& endpoint,
                                   absl::Time deadline) {
  while (true) {
    grpc_connectivity_state state =
        endpoint.channel->GetState(/*try_to_connect=*/true);
    if (state == GRPC_CHANNEL_READY) break;
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE ||
        !endpoint.channel->WaitForStateChange(state,
                                              absl::ToChronoTime(deadline))) {
      return CannotConnect(endpoint);
    }
  }
  PARAMO_RETURN_IF_ERROR(Check(endpoint));
  return Authenticate(endpoint);
}

// A call over a connection that has failed is told what it failed of.
absl::Status EtcdClient::CannotConnect(EtcdEndpoint& endpoint) const {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kPause));
  etcdserverpb::StatusResponse unused;
  const grpc::Status status =
      endpoint.maintenance->Status(&context, {}, &unused);
  const std::string why =
      status.error_code() == grpc::StatusCode::UNAVAILABLE
          ? absl::StrCat(": ", Printable(status.error_message(), 256))
          : "";
  return absl::UnavailableError(
      absl::StrCat("etcd ", endpoint.address, ": cannot connect", why,
                   EtcdConnectAdvice(options_.security, why)));
}

absl::Status EtcdClient::Authenticate(EtcdEndpoint& endpoint) {
  const EtcdSecurity& security = options_.security;
  if (security.user.empty() || !Token().empty()) return absl::OkStatus();
  grpc::ClientContext context;
  // etcd takes its time over a password, so that nobody tries them all.
  context.set_deadline(absl::ToChronoTime(absl::Now() + options_.call_timeout));
  etcdserverpb::AuthenticateRequest request;
  request.set_name(security.user);
  request.set_password(security.password);
  etcdserverpb::AuthenticateResponse response;
  PARAMO_RETURN_IF_ERROR(FromEtcd(
      endpoint.auth->Authenticate(&context, request, &response), endpoint));
  MutexLock lock(mu_);
  token_ = response.token();
  return absl::OkStatus();
}

absl::Status EtcdClient::Check(EtcdEndpoint& endpoint) {
  if (endpoint.checked.load(std::memory_order_relaxed)) return absl::OkStatus();
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + options_.try_timeout));
  etcdserverpb::StatusResponse status;
  const grpc::Status asked =
      endpoint.maintenance->Status(&context, {}, &status);
  if (IsPassing(asked)) {
    // In TLS 1.3 a client whose certificate is refused is connected already.
    return absl::UnavailableError(absl::StrCat(
        FromEtcd(asked, endpoint).message(),
        EtcdConnectAdvice(options_.security, asked.error_message())));
  }
  PARAMO_RETURN_IF_ERROR(FromEtcd(asked, endpoint));
  PARAMO_RETURN_IF_ERROR(CheckHeader(endpoint, status.header()));
  endpoint.checked.store(true, std::memory_order_relaxed);
  return absl::OkStatus();
}

absl::StatusOr<EtcdEndpoint*> EtcdClient::Connect(absl::Time deadline) {
  absl::Status last = absl::UnavailableError("no etcd endpoint");
  for (size_t i = 0; i < endpoints_.size(); ++i) {
    EtcdEndpoint& endpoint =
        endpoints_[current_.load(std::memory_order_relaxed) %
                   endpoints_.size()];
    absl::Status status = ConnectTo(
        endpoint, std::min(deadline, absl::Now() + options_.connect_timeout));
    if (status.ok()) return &endpoint;
    // That one is of another cluster is worth more than that one is down.
    if (!absl::IsFailedPrecondition(last)) last = status;
    Avoid(endpoint);
  }
  return last;
}

absl::Status EtcdClient::Call(Repeat repeat, const Attempt& attempt) {
  const absl::Time deadline = absl::Now() + options_.call_timeout;
  size_t failures = 0;
  bool token_renewed = false;
  while (true) {
    absl::StatusOr<EtcdEndpoint*> endpoint = Connect(deadline);
    absl::Status last = endpoint.status();
    bool none = !endpoint.ok();
    if (endpoint.ok()) {
      grpc::ClientContext context;
      Prepare(context);
      context.set_deadline(absl::ToChronoTime(
          std::min(deadline, absl::Now() + options_.try_timeout)));
      const grpc::Status status = attempt(**endpoint, context);
      if (status.ok()) return absl::OkStatus();
      last = FromEtcd(status, **endpoint);
      if (WantsNewToken(status) && !std::exchange(token_renewed, true)) {
        ForgetToken();
        continue;
      }
      if (!IsPassing(status)) return last;
      Avoid(**endpoint);
      if (repeat != Repeat::kYes && !NothingHappened(status)) return last;
    } else if (absl::IsFailedPrecondition(last)) {
      return last;
    }
    // A round over all of them is followed by a pause.
    if (none || ++failures % endpoints_.size() == 0) {
      if (absl::Now() + kPause >= deadline) return last;
      absl::SleepFor(kPause);
    }
    if (absl::Now() >= deadline) return last;
  }
}

}  // namespace paramo
