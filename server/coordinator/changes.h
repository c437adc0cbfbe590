// What one step of the coordinator wants durable before anybody hears of it.
// The state machines write here; the core commits it and publishes the state.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace paramo {

class Changes {
 public:
  // The last word on a key wins.
  void Put(const std::string& key, std::string value) {
    writes_[key] = std::move(value);
  }
  void Delete(const std::string& key) { writes_[key] = std::nullopt; }

  // A write that must not be later than any other of the same step: a crash
  // between two transactions may lose numbers, but never hand one out twice.
  void Reserve(const std::string& key, std::string value) {
    reservations_[key] = std::move(value);
  }

  // The ClusterState that servers and clients watch is another one now.
  void MarkStateChanged() { state_changed_ = true; }

  bool empty() const { return writes_.empty() && reservations_.empty(); }
  bool state_changed() const { return state_changed_; }
  using Writes = std::map<std::string, std::optional<std::string>>;
  // Absent value: the key goes.
  const Writes& writes() const { return writes_; }
  const Writes& reservations() const { return reservations_; }

  void Clear() {
    writes_.clear();
    reservations_.clear();
    state_changed_ = false;
  }

 private:
  Writes writes_;
  Writes reservations_;
  bool state_changed_ = false;
};

// Hands out 1, 2, 3, ... and never the same number twice, across restarts
// too: numbers are reserved in the store `block` at a time, so that a busy
// counter costs one write per block.
class IdCounter {
 public:
  IdCounter(std::string key, uint64_t block, Changes& changes)
      : key_(std::move(key)), block_(block), changes_(changes) {}

  const std::string& key() const { return key_; }

  // Writes where it stands, for a cluster in which its entry must be there.
  void Store();

  // False when `value` is not one that Take or Store wrote.
  bool Load(absl::string_view value);

  uint64_t Take();

  // No higher number was handed out; those of a block that a restart cut short
  // count as if they were.
  uint64_t last() const { return next_ - 1; }

 private:
  const std::string key_;
  const uint64_t block_;
  Changes& changes_;
  uint64_t next_ = 1;
  uint64_t reserved_ = 1;  // numbers below it are reserved in the store
};

}  // namespace paramo
