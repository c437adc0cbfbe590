// A TCP proxy that does to connections what a bad network does. Every link of a
// chaos run passes through one: clients and peers to a server, a server to the
// coordinator.
//
// What can be done to a stream of bytes is not what can be done to packets, and
// the names below mean exactly this:
//
//   delay      every piece waits, in order, in both directions
//   reorder    now this connection waits, now that one, while others pass: what
//              different connections carry arrives in another order
//   duplicate  TCP drops the copy of a packet, so what can arrive twice is a
//              whole stream: connections are broken, and of each new one a
//              second connection brings the server the same bytes at the same
//              time; its answers go nowhere
//   corrupt    single bits are flipped on the way
//   half_open  one direction dies: its bytes vanish. Its connections are reset
//              at the end, since nobody can fill the gap
//   hold       nothing passes, nothing is refused: to both ends the other has
//              fallen silent. Goes on where it stood
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/mutex.h"
#include "common/base/random.h"

namespace paramo::chaos {

enum class ProxyFault {
  kNone,
  kDelay,
  kReorder,
  kDuplicate,
  kCorrupt,
  kHalfOpen,
  kHold,
};

struct ProxyOptions {
  std::string listen_ip = "127.0.0.1";
  // Connections to the target come from here, so that packet filters can tell
  // whose they are.
  std::string source_ip = "127.0.0.1";
  uint64_t seed = 1;  // of every choice below
  // Where one comes from instead, by its ports; empty: `source_ip`. Called on
  // the proxy's thread.
  std::function<std::string(uint16_t from, uint16_t to)> source_of = {};
};

// What it has done since it started.
struct ProxyCounters {
  uint64_t connections = 0;
  uint64_t bytes = 0;  // passed on, both directions
  uint64_t flipped_bits = 0;
  uint64_t copied_bytes = 0;    // to second connections
  uint64_t vanished_bytes = 0;  // in dead directions
  uint64_t delayed_pieces = 0;
};

struct ProxyLink;  // one connection; proxy_link.h

// Owns a thread, which owns all connections; the destructor ends them.
// Threads: all methods from any.
class Proxy {
 public:
  static absl::StatusOr<std::unique_ptr<Proxy>> Start(ProxyOptions options);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  // ip:port that clients connect to; never changes.
  const std::string& address() const { return address_; }
  // Where new connections go: ip:port. Until it is set they are refused.
  void SetTarget(const std::string& address);

  // In force for connections there are and for new ones, until Heal.
  void Inject(ProxyFault fault);
  void Heal() { Inject(ProxyFault::kNone); }
  // Holds connections that come from this address; "" = none.
  void HoldSource(const std::string& source_ip);
  // Resets every connection.
  void Break();

  ProxyCounters counters();

 private:
  struct Orders {
    std::string target;
    ProxyFault fault = ProxyFault::kNone;
    std::string held_source;
    uint64_t breaks = 0;  // Break was called so often
    bool stop = false;
  };

  Proxy(ProxyOptions options, int listener, int wake, std::string address);
  void Run();
  bool TakeOrders();  // false: stop
  void Wake();
  void OnFault(ProxyFault before);
  void SetHolds();
  std::string SourceOf(int client) const;
  void Poll();
  void Accept();
  void StirHolds(absl::Time now);

  const ProxyOptions options_;
  const int listener_;
  const int wake_;  // an eventfd
  const std::string address_;

  // The thread's own.
  BitGen random_;
  Orders now_;
  std::list<std::unique_ptr<ProxyLink>> links_;
  absl::Time next_stir_ = absl::InfiniteFuture();
  int dead_direction_ = 0;  // of half_open

  Mutex mu_;
  Orders orders_ ABSL_GUARDED_BY(mu_);
  ProxyCounters counters_ ABSL_GUARDED_BY(mu_);

  std::thread thread_;
};

}  // namespace paramo::chaos
