#include "common/wire/section.h"

namespace paramo::wire {

const char* ReasonName(Reason reason) {
  switch (reason) {
    case Reason::kNone:
      return "none";
    case Reason::kMalformed:
      return "malformed";
    case Reason::kTooLarge:
      return "too_large";
    case Reason::kProtocolVersion:
      return "protocol_version";
    case Reason::kWrongCluster:
      return "wrong_cluster";
    case Reason::kWrongShard:
      return "wrong_shard";
    case Reason::kWrongEpoch:
      return "wrong_epoch";
    case Reason::kWrongHistory:
      return "wrong_history";
    case Reason::kSessionExpired:
      return "session_expired";
    case Reason::kSessionFenced:
      return "session_fenced";
    case Reason::kSeqGap:
      return "seq_gap";
    case Reason::kSeqMismatch:
      return "seq_mismatch";
    case Reason::kUnknownTable:
      return "unknown_table";
    case Reason::kTableVersion:
      return "table_version";
    case Reason::kKeys:
      return "keys";
    case Reason::kDimensions:
      return "dimensions";
    case Reason::kCodec:
      return "codec";
    case Reason::kChecksum:
      return "checksum";
    case Reason::kNonFinite:
      return "non_finite";
    case Reason::kOverloaded:
      return "overloaded";
    case Reason::kDeadline:
      return "deadline";
    case Reason::kNotAMember:
      return "not_a_member";
    case Reason::kShuttingDown:
      return "shutting_down";
    case Reason::kRows:
      return "rows";
    case Reason::kUnsupported:
      return "unsupported";
    case Reason::kReplicas:
      return "replicas";
    case Reason::kStore:
      return "store";
    case Reason::kNeedKeys:
      return "need_keys";
  }
  return "unknown";
}

}  // namespace paramo::wire
