// Who is hurt when.
#pragma once

#include "tests/sim/loop.h"

namespace paramo::sim {

class Server;
class World;

class Faults {
 public:
  explicit Faults(World& world);

  // From `begin` on, until Heal.
  void Start(Micros begin);
  // Ends all of it: what is down starts; what is paused goes on by itself.
  void Heal();

 private:
  void Next();
  void Inject();
  void Count(const char* kind, const Server* server);
  void HurtServer(Server& server);
  void CutOff(Server& server);
  void PutOutOfReach(Server& server);
  void ChangeWeather();
  void HurtCoordinator();
  void MovePrimary(const Server& server);
  void Drain(const Server& server);
  void PromoteWhatIsLeft();
  void DamageState(Server& server);
  bool MayLosePast(Server& server);
  void StartLater(Server& server);

  World& world_;
  bool over_ = false;
  bool damages_;      // this run flips bits of applied state
  double intensity_;  // 1 = a fault every 60 ms
};

}  // namespace paramo::sim
