// The etcd that coordinators keep their state in, as `paramo doctor` sees it.
#include <grpcpp/grpcpp.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "client/cli/doctor.h"
#include "client/cli/output.h"
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

}  // namespace

std::vector<Finding> AskEtcd(const std::vector<std::string>& endpoints,
                             absl::Duration timeout) {
  std::vector<Finding> findings;
  for (const std::string& endpoint : endpoints) {
    const std::string what = "etcd " + endpoint;
    auto stub =
        etcdserverpb::Maintenance::NewStub(MakeControlChannel(endpoint));
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
    etcdserverpb::StatusResponse status;
    const grpc::Status asked = stub->Status(&context, {}, &status);
    if (asked.ok()) {
      findings.push_back(Judge(what, status));
    } else {
      findings.push_back({what, Verdict::kBad, "no answer",
                          Printable(asked.error_message(), 256)});
    }
  }
  return findings;
}

}  // namespace paramo::cli
