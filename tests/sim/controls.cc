#include "tests/sim/controls.h"

namespace paramo::sim {

const std::vector<Control>& Controls() {
  static const std::vector<Control> controls = {
      {"acknowledge before replicating",
       [](Bugs& bugs) { bugs.replica.commit_alone = true; }, 5},
      {"a join does not need the joiner",
       [](Bugs& bugs) { bugs.replica.commit_without_joiner = true; }, 60},
      {"a new primary commits its tail alone",
       [](Bugs& bugs) { bugs.replica.takeover_alone = true; }, 20},
      {"the smaller set is used before it is stored",
       [](Bugs& bugs) { bugs.replica.shrink_early = true; }, 20},
      {"applied before committed",
       [](Bugs& bugs) { bugs.replica.apply_early = true; }, 5},
      {"no epoch check at a backup",
       [](Bugs& bugs) { bugs.replica.no_epoch_check = true; }, 80},
      {"promises in memory",
       [](Bugs& bugs) { bugs.replica.promise_in_memory = true; }, 120},
      {"a record counts before it is logged",
       [](Bugs& bugs) { bugs.replica.ack_before_log = true; }, 5},
      {"a cut is not logged",
       [](Bugs& bugs) { bugs.replica.truncate_unlogged = true; }, 60},
      {"cuts do not wait for the log",
       [](Bugs& bugs) { bugs.replica.truncate_unquiet = true; }, 400},
      {"a damaged log loses what was read of it",
       [](Bugs& bugs) { bugs.replica.restart_bare = true; }, 600},
      {"a restarted primary goes on",
       [](Bugs& bugs) { bugs.replica.lead_again = true; }, 60},
      {"records are appended unchained",
       [](Bugs& bugs) { bugs.replica.match_unchecked = true; }, 40},
      {"replicas are not compared",
       [](Bugs& bugs) { bugs.replica.checksum_unchecked = true; }, 250},
      {"crc32c of messages unchecked",
       [](Bugs& bugs) { bugs.replica.frame_unchecked = true; }, 40},
      {"a lagging replica is promoted",
       [](Bugs& bugs) { bugs.promote_lagging = true; }, 20},
      {"a transfer goes to a lagging replica",
       [](Bugs& bugs) { bugs.transfer_lagging = true; }, 40},
      {"an incarnation outlives lost data",
       [](Bugs& bugs) { bugs.restart_unproven = true; }, 40},
      {"last means applied", [](Bugs& bugs) { bugs.dedup_by_applied = true; },
       10},
      {"sessions are not replicated",
       [](Bugs& bugs) { bugs.sessions_lost = true; }, 40},
      {"records of an old history are kept",
       [](Bugs& bugs) { bugs.replica.keep_history = true; }, 60},
      {"a session's numbers are used again",
       [](Bugs& bugs) { bugs.session_reused = true; }, 10},
  };
  return controls;
}

}  // namespace paramo::sim
