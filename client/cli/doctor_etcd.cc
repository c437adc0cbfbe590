// The etcd that coordinators keep their state in, as `paramo doctor` sees it.
#include <grpcpp/grpcpp.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "client/cli/doctor.h"
#include "client/cli/output.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/transport/settings.h"
#include "etcd/etcd.grpc.pb.h"

namespace paramo::cli {
namespace {

constexpr double kMiB = 1024.0 * 1024;
// etcd's quota is 2 GiB unless set; beyond it, it takes no more writes.
constexpr int64_t kCareBytes = int64_t{1} << 30;

Finding Judge(const std::string& what,
              const etcdserverpb::StatusResponse& status) {
  const std::string found = absl::StrFormat(
      "etcd %s, %s, %.1f MiB", Printable(status.version(), 32),
      status.leader() == 0                             ? "no leader"
      : status.leader() == status.header().member_id() ? "leads"
                                                       : "follows",
      static_cast<double>(status.dbsize()) / kMiB);
  if (status.errors_size() > 0) {
    return {what, Verdict::kBad, found,
            absl::StrCat("alarms: ",
                         Printable(absl::StrJoin(status.errors(), ", "), 256),
                         "; see etcd's maintenance guide")};
  }
  if (status.leader() == 0) {
    return {what, Verdict::kBad, found,
            "fewer than half of its members reach each other"};
  }
  if (status.dbsize() > kCareBytes) {
    return {what, Verdict::kCare, found,
            "compact and defragment it before it reaches its quota"};
  }
  if (absl::StartsWith(status.version(), "3.4.")) {
    return {what, Verdict::kCare, found, "works; in production use 3.5"};
  }
  return {what, Verdict::kGood, found, ""};
}

Finding NoAnswer(const std::string& what, const EtcdSecurity& security,
                 const grpc::Status& status) {
  std::string advice = Printable(status.error_message(), 256);
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    advice += EtcdConnectAdvice(security, status.error_message());
  }
  return {what, Verdict::kBad, "no answer", advice};
}

Finding AskMember(const std::string& endpoint, const EtcdSecurity& security,
                  absl::Duration timeout) {
  const std::string what = "etcd " + endpoint;
  KeepGrpcInitialised();
  grpc::ChannelArguments arguments;
  ApplyClientSettings(arguments, kMessageBytesMax, timeout);
  const auto channel =
      grpc::CreateCustomChannel(endpoint, EtcdCredentials(security), arguments);
  const auto deadline = absl::ToChronoTime(absl::Now() + timeout);
  grpc::ClientContext context;
  context.set_deadline(deadline);
  if (!security.user.empty()) {
    grpc::ClientContext first;
    first.set_deadline(deadline);
    etcdserverpb::AuthenticateRequest request;
    request.set_name(security.user);
    request.set_password(security.password);
    etcdserverpb::AuthenticateResponse response;
    const grpc::Status known =
        etcdserverpb::Auth::NewStub(channel)->Authenticate(&first, request,
                                                           &response);
    if (known.error_code() == grpc::StatusCode::UNAVAILABLE) {
      return NoAnswer(what, security, known);
    }
    if (!known.ok()) {
      return {
          what, Verdict::kBad,
          absl::StrCat("does not let ", Printable(security.user, 64), " in"),
          absl::StrCat(Printable(known.error_message(), 256),
                       "; see --etcd-user and --etcd-password-file")};
    }
    context.AddMetadata("token", response.token());
  }
  etcdserverpb::StatusResponse status;
  const grpc::Status asked =
      etcdserverpb::Maintenance::NewStub(channel)->Status(&context, {},
                                                          &status);
  return asked.ok() ? Judge(what, status) : NoAnswer(what, security, asked);
}

}  // namespace

std::vector<Finding> AskEtcd(const std::vector<std::string>& endpoints,
                             const EtcdSecurity& security,
                             absl::Duration timeout) {
  std::vector<Finding> findings;
  for (const std::string& endpoint : endpoints) {
    findings.push_back(AskMember(endpoint, security, timeout));
  }
  return findings;
}

}  // namespace paramo::cli
