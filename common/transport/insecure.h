// Until there is TLS, listening beyond this machine takes a word of consent,
// and is complained about for as long as it lasts.
#pragma once

#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "common/base/mutex.h"

namespace paramo {

// FAILED_PRECONDITION when `listen` (host:port) can be reached from other
// machines and `insecure_listen` is not set.
absl::Status CheckListen(const std::string& listen, bool insecure_listen);

// Warns once a minute while any of the addresses is not a loopback one. Life:
// made by main; the destructor joins the thread.
class InsecureWarning {
 public:
  explicit InsecureWarning(const std::vector<std::string>& listen);
  ~InsecureWarning();
  InsecureWarning(const InsecureWarning&) = delete;
  InsecureWarning& operator=(const InsecureWarning&) = delete;

 private:
  void Warn();

  std::string exposed_;  // the addresses; empty when there are none
  Mutex mu_;
  CondVar wake_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace paramo
