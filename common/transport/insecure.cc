#include "common/transport/insecure.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/log.h"
#include "common/transport/address.h"

namespace paramo {
namespace {

bool IsExposed(const std::string& listen) {
  auto address = ParseAddress(listen);
  return address.ok() && !IsLoopback(*address);
}

}  // namespace

absl::Status CheckListen(const std::string& listen, bool insecure_listen) {
  if (insecure_listen || !IsExposed(listen)) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      listen,
      " can be reached from other machines, and there is no TLS yet: anyone "
      "who reaches it can read and change parameters. Listen on 127.0.0.1, or "
      "pass --insecure-listen if the network itself is trusted"));
}

InsecureWarning::InsecureWarning(const std::vector<std::string>& listen) {
  for (const std::string& address : listen) {
    if (!IsExposed(address)) continue;
    absl::StrAppend(&exposed_, exposed_.empty() ? "" : ", ", address);
  }
  if (!exposed_.empty()) thread_ = std::thread([this] { Warn(); });
}

InsecureWarning::~InsecureWarning() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    wake_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void InsecureWarning::Warn() {
  MutexLock lock(mu_);
  while (!stopping_) {
    LogWarning("INSECURE: %s is open to other machines without TLS", exposed_);
    wake_.WaitFor(mu_, absl::Minutes(1));
  }
}

}  // namespace paramo
