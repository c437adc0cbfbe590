// Faults of our own that prove that the simulator finds such faults: each must
// break an invariant within a few seeds (tests/sim). Only the test build of
// this directory (PARAMO_SEEDED_BUGS) can switch them on; in any other they
// are the constant false, and the compiler drops what depends on them.
#pragma once

namespace paramo {

#ifdef PARAMO_SEEDED_BUGS
#define PARAMO_SEEDED_BUG(name) bool name = false
#else
#define PARAMO_SEEDED_BUG(name) static constexpr bool name = false
#endif

struct SeededBugs {
  PARAMO_SEEDED_BUG(commit_alone);           // backups are not waited for
  PARAMO_SEEDED_BUG(commit_without_joiner);  // a joiner's acks are not needed
  PARAMO_SEEDED_BUG(takeover_alone);     // the tail commits without the others
  PARAMO_SEEDED_BUG(shrink_early);       // the smaller set before it is stored
  PARAMO_SEEDED_BUG(apply_early);        // applied when appended
  PARAMO_SEEDED_BUG(no_epoch_check);     // a backup hears fenced primaries
  PARAMO_SEEDED_BUG(promise_in_memory);  // fences are answered before the disk
  PARAMO_SEEDED_BUG(ack_before_log);     // a record counts before it is logged
  PARAMO_SEEDED_BUG(truncate_unlogged);  // a cut tail comes back on restart
  PARAMO_SEEDED_BUG(truncate_unquiet);  // old log reports count for new records
  PARAMO_SEEDED_BUG(restart_bare);  // a damaged log loses what was read of it
  PARAMO_SEEDED_BUG(lead_again);    // a restarted primary goes on in its term
  PARAMO_SEEDED_BUG(match_unchecked);     // records are appended unchained
  PARAMO_SEEDED_BUG(checksum_unchecked);  // replicas are not compared
  PARAMO_SEEDED_BUG(frame_unchecked);     // crc32c of messages is not checked
  PARAMO_SEEDED_BUG(keep_history);        // records of an old history are kept
};

#undef PARAMO_SEEDED_BUG

}  // namespace paramo
