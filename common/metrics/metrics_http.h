// The scrape endpoint: a tiny HTTP/1.1 server on a thread of its own.
//   GET /metrics   the Prometheus page
//   GET /healthz   200 "ok", or 503 and the reason
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/metrics/metrics.h"

namespace paramo {

// Serves one connection at a time and one request per connection: a scraper
// comes every few seconds. A request head is at most 8 KiB and must arrive
// within the timeout, so a slow or hostile peer delays the next scrape, no
// more. Life: started by the composition root; the destructor joins the
// thread.
class MetricsHttp {
 public:
  struct Options {
    std::string host = "127.0.0.1";  // a numeric address, IPv4 or IPv6
    int port = 0;                    // 0 = any free one
    const MetricsRegistry* registry = nullptr;
    // Ready to serve? nullptr means always.
    std::function<absl::Status()> health;
    // For reading a request, and for writing its answer.
    absl::Duration timeout = absl::Seconds(2);
  };

  // Errors: INVALID_ARGUMENT  `host` is not a numeric address
  //         UNAVAILABLE       the port is taken
  static absl::StatusOr<std::unique_ptr<MetricsHttp>> Start(Options options);
  ~MetricsHttp();
  MetricsHttp(const MetricsHttp&) = delete;
  MetricsHttp& operator=(const MetricsHttp&) = delete;

  int port() const { return port_; }

 private:
  MetricsHttp(Options options, int listener, int stop_event, int port);
  void Serve();
  void Answer(int connection);

  const Options options_;
  const int listener_;
  const int stop_event_;  // eventfd, readable once the destructor has begun
  const int port_;
  std::thread thread_;
};

}  // namespace paramo
