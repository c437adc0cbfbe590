#include "client/core/sent_lists.h"

#include <algorithm>
#include <utility>

#include "common/base/limits.h"

namespace paramo::client {
namespace {

// Those of a call or two on 64 shards; and for so long a server is spared
// guesses that nearly all are wrong.
constexpr uint64_t kWholeMin = 128;
constexpr uint64_t kWholeMax = 64 << 10;

}  // namespace

void SentLists::OnHello(const wire::Hello& hello) {
  MutexLock lock(mu_);
  // What was noted before the first one waits for it to be sent.
  if (incarnation_ != 0 && hello.server_incarnation != incarnation_) Forget();
  takes_hashes_ = hello.key_lists;
  incarnation_ = hello.server_incarnation;
}

bool SentLists::GoesAsHash(const Hash128& list, bool again) {
  MutexLock lock(mu_);
  const bool sent = young_.contains(list) || old_.contains(list);
  if (young_.size() >= kSentListsMax / 2) {
    old_ = std::exchange(young_, {});
  }
  young_.insert(list);
  if (!sent || again || !takes_hashes_) return false;
  if (whole_left_ > 0) {
    --whole_left_;
    return false;
  }
  ++hashes_;
  return true;
}

void SentLists::OnNeedKeys() {
  MutexLock lock(mu_);
  if (hashes_ == 0) return;  // a part of the wrong guess before
  const bool mostly_right = hashes_ > 16 * std::max(whole_, kWholeMin);
  whole_ =
      mostly_right ? kWholeMin : std::clamp(2 * whole_, kWholeMin, kWholeMax);
  whole_left_ = whole_;
  hashes_ = 0;
  Forget();
}

void SentLists::Forget() {
  young_.clear();
  old_.clear();
}

}  // namespace paramo::client
