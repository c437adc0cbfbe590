// Key lists that clients were seen to send, by their hash: a section may name
// one instead of carrying it (docs/formats/wire.md, "Key lists by hash").
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "common/base/mutex.h"
#include "common/hash/hash128.h"
#include "common/metrics/metrics.h"
#include "common/wire/request.h"

namespace paramo {

// The lists used last, up to kKeyListsBytesMax. An entry is made from keys that
// came here whole and were hashed here, never from a hash that somebody sent.
// Threads: any.
class KeyLists {
 public:
  explicit KeyLists(MetricsRegistry& metrics);

  // Gives every section that names a list its keys, as if they had come with
  // it: they lie behind the message then, in one rope, which keeps them alive.
  // Remembers the lists of sections that carry theirs. A section whose list is
  // not here, or has another number of keys, stays as it is.
  // Cost: what is remembered is hashed and copied, 8 bytes a key.
  void Expand(wire::RequestView& request);

  // Of what is remembered.
  size_t bytes() const;

 private:
  using List = std::shared_ptr<const std::string>;  // shared with requests
  struct Entry {
    Hash128 hash;
    List keys;
  };

  List Find(const wire::KeyListRef& name);
  void Remember(const Rope& rope, wire::ByteRange keys);
  void Insert(Entry entry);

  Counter& expanded_;
  Gauge& bytes_gauge_;

  mutable Mutex mu_;
  std::list<Entry> entries_ ABSL_GUARDED_BY(mu_);  // the one used last is first
  absl::flat_hash_map<Hash128, std::list<Entry>::iterator> index_
      ABSL_GUARDED_BY(mu_);
  size_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace paramo
