// How freely a client retries: after gRPC's retry throttling (proposal A6), but
// where that gives a call up, here its next try comes as late as any does.
#pragma once

#include <algorithm>

namespace paramo::client {

// A server that fails most of what it is asked must not be asked more for it. A
// failed request takes a token, an answered one gives one back (gRPC: a tenth;
// a network that loses one in five must not slow the other four); while half of
// them or fewer are left the budget is spent. So quick retries are at most as
// many as answers, and five more, whatever the number of calls. Threads: one.
class RetryBudget {
 public:
  void NoteFailure() { tokens_ = std::max(tokens_ - 1, 0.0); }
  void NoteAnswer() { tokens_ = std::min(tokens_ + kAnswerTokens, kTokensMax); }
  bool spent() const { return tokens_ <= kTokensMax / 2; }

 private:
  static constexpr double kTokensMax = 10;
  static constexpr double kAnswerTokens = 1;

  double tokens_ = kTokensMax;
};

}  // namespace paramo::client
