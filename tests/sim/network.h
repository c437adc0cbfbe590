// Messages between nodes: lost, late, doubled, overtaken, cut off.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "tests/sim/loop.h"

namespace paramo::sim {

// Servers are 1..n; the coordinator is 0; clients are 1000 and up.
using Node = uint32_t;
inline constexpr Node kCoordinator = 0;
inline constexpr Node kFirstClient = 1000;

class Network {
 public:
  Network(Loop& loop, Result& result) : loop_(loop), result_(result) {}

  // How bad the weather is.
  struct Weather {
    double loss = 0;
    double doubled = 0;
    double late = 0;  // by up to 60 ms, so that others overtake
    double flip = 0;  // a bit of a replica's message
  };
  void set_weather(const Weather& weather) { weather_ = weather; }
  const Weather& weather() const { return weather_; }

  void Send(Node from, Node to, const std::function<void()>& deliver);

  // Nothing passes from `from` to `to` until then.
  void Block(Node from, Node to, Micros until) { blocked_[{from, to}] = until; }
  void Heal() {
    blocked_.clear();
    weather_ = {};
  }

 private:
  Loop& loop_;
  Result& result_;
  Weather weather_;
  std::map<std::pair<Node, Node>, Micros> blocked_;
};

}  // namespace paramo::sim
