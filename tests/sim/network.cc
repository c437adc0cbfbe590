#include "tests/sim/network.h"

namespace paramo::sim {

void Network::Send(Node from, Node to, const std::function<void()>& deliver) {
  auto blocked = blocked_.find({from, to});
  if (blocked != blocked_.end() && blocked->second > loop_.now()) {
    ++result_.faults["message cut off"];
    return;
  }
  if (loop_.Chance(weather_.loss)) {
    ++result_.faults["message lost"];
    return;
  }
  int copies = 1;
  if (loop_.Chance(weather_.doubled)) {
    ++result_.faults["message doubled"];
    copies = 2;
  }
  for (int i = 0; i < copies; ++i) {
    Micros delay = loop_.Between(50, 400);
    if (loop_.Chance(weather_.late)) {
      ++result_.faults["message late"];
      delay = loop_.Between(1, 60) * kMilli;
    }
    loop_.After(delay, deliver);
  }
}

}  // namespace paramo::sim
