#include "server/service/key_lists.h"

#include <utility>
#include <vector>

#include "common/base/ids.h"
#include "common/base/limits.h"

namespace paramo {
namespace {

// Of an entry beside its keys: two nodes, a place in the index, malloc's share.
constexpr size_t kEntryBytes = 192;

Hash128 HashOf(const Rope& rope, wire::ByteRange range) {
  Rope::Pieces pieces;
  rope.AddPieces(range.offset, range.size, pieces);
  if (pieces.size() == 1) return HashBytes128(pieces[0].data, pieces[0].size);
  Hasher128 hasher;
  for (const Piece& piece : pieces) hasher.Update(piece.data, piece.size);
  return hasher.Digest();
}

}  // namespace

KeyLists::KeyLists(MetricsRegistry& metrics)
    : expanded_(metrics.AddCounter("paramo_key_lists_expanded_total",
                                   "Sections whose keys came as a hash")),
      bytes_gauge_(metrics.AddGauge("paramo_key_list_bytes",
                                    "Key lists remembered for that")) {}

void KeyLists::Expand(wire::RequestView& request) {
  std::vector<List> lists;
  size_t end = request.rope.size();
  for (auto* sections : {&request.push, &request.pull}) {
    for (wire::SectionView& section : *sections) {
      if (!section.list.has_value()) {
        Remember(request.rope, section.keys);
        continue;
      }
      List keys = Find(*section.list);
      if (keys == nullptr) continue;
      section.keys = {end, keys->size()};
      section.list.reset();
      end += keys->size();
      lists.push_back(std::move(keys));
    }
  }
  if (lists.empty()) return;
  expanded_.Add(lists.size());
  const absl::Span<const Piece> pieces = request.rope.pieces();
  Rope::Pieces all(pieces.begin(), pieces.end());
  for (const List& keys : lists) {
    all.push_back(
        {reinterpret_cast<const uint8_t*>(keys->data()), keys->size()});
  }
  const size_t pinned =
      request.rope.pinned_bytes() + (end - request.rope.size());
  using Owner = std::pair<Rope, std::vector<List>>;
  request.rope = Rope(
      std::move(all),
      std::make_shared<const Owner>(std::move(request.rope), std::move(lists)),
      pinned);
}

size_t KeyLists::bytes() const {
  MutexLock lock(mu_);
  return bytes_;
}

KeyLists::List KeyLists::Find(const wire::KeyListRef& name) {
  MutexLock lock(mu_);
  const auto found = index_.find(name.hash);
  if (found == index_.end()) return nullptr;
  if (found->second->keys->size() != name.count * sizeof(Key)) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->keys;
}

void KeyLists::Remember(const Rope& rope, wire::ByteRange keys) {
  if (keys.size % sizeof(Key) != 0 ||
      keys.size < kKeyListKeysMin * sizeof(Key) ||
      keys.size > kKeyListKeysMax * sizeof(Key)) {
    return;
  }
  const Hash128 hash = HashOf(rope, keys);
  const auto count = static_cast<uint32_t>(keys.size / sizeof(Key));
  if (Find({hash, count}) != nullptr) return;
  auto copy = std::make_shared<std::string>(keys.size, '\0');
  rope.Copy(keys.offset, keys.size, copy->data());
  Insert({hash, std::move(copy)});
}

void KeyLists::Insert(Entry entry) {
  std::list<Entry> forgotten;  // freed when the lock is released
  MutexLock lock(mu_);
  entries_.push_front(std::move(entry));
  const auto inserted =
      index_.try_emplace(entries_.front().hash, entries_.begin());
  if (!inserted.second) return entries_.pop_front();  // another thread did
  const auto cost = [](const Entry& e) { return e.keys->size() + kEntryBytes; };
  bytes_ += cost(entries_.front());
  while (bytes_ > kKeyListsBytesMax) {
    bytes_ -= cost(entries_.back());
    index_.erase(entries_.back().hash);
    forgotten.splice(forgotten.begin(), entries_, std::prev(entries_.end()));
  }
  bytes_gauge_.Set(static_cast<int64_t>(bytes_));
}

}  // namespace paramo
