// Every limit of Paramo, in one place. Hitting one is a Status that names it
// and, where waiting helps, carries a retry-after; never an abort and never an
// unbounded allocation. tests/unit/common/base/limits_test.cc checks the
// relations between them, and each is tested where it is enforced.
#pragma once

#include <cstddef>
#include <cstdint>

namespace paramo {

// ---- Messages ---------------------------------------------------------------

// Largest request or reply. A dense 16 MB block and its headers fit with room
// to spare; a claimed size above it is refused before anything is allocated.
inline constexpr size_t kMessageBytesMax = size_t{64} << 20;

// Largest control-plane message (a cluster state with thousands of shards is
// below 1 MiB).
inline constexpr size_t kControlMessageBytesMax = size_t{8} << 20;

// Sections of one request: 4096 = 64 shards x 64 tables.
inline constexpr size_t kSectionsMax = 4096;

// Addresses that the answers to one request may give for keys of sections
// without a shard: 16 sections that touch every shard of the largest cluster.
inline constexpr size_t kRedirectsMax = 65536;

// Keys and values of one push on one shard. They travel again, with at most so
// much around them: as a record of the log, and in a message to another server.
inline constexpr size_t kPushBytesMax = kMessageBytesMax - (size_t{4} << 10);

// Keys of one request, summed over its sections. 4 Mi keys are 32 MiB of key
// blocks, half of a message.
inline constexpr size_t kKeysMax = size_t{4} << 20;

// Bytes of an error message carried in a reply section.
inline constexpr size_t kErrorBytesMax = 512;

// ---- Tables -----------------------------------------------------------------

inline constexpr uint32_t kShardsMax = 4096;  // per cluster; a power of two
inline constexpr uint32_t kShardsDefault = 64;
inline constexpr uint32_t kDimMax = 65536;  // floats of one row's value
inline constexpr double kDelayCompensationMax = 1000;  // lambda of DC-ASGD
inline constexpr size_t kTablesMax = 4096;             // per cluster
inline constexpr size_t kTableNameBytesMax = 128;      // [a-z0-9][a-z0-9._-]*
inline constexpr int kTensorRankMax = 16;
inline constexpr uint64_t kRowsPerShardTableMax = uint64_t{1} << 31;

// ---- Requests in flight -----------------------------------------------------

// Requests of one stream that a server works on at once; beyond it the server
// stops reading, which is what slows the client down.
inline constexpr size_t kStreamInFlightMax = 256;

// Bytes of received messages (by backing slice) that a server holds at once:
// queued, parked or part of an open round. Beyond it: RESOURCE_EXHAUSTED.
inline constexpr size_t kHeldBytesDefault = size_t{1} << 30;

// Bytes of replies that a server has begun and not handed over: those of
// parked pulls above all. A budget apart from the one before, so that waiting
// pulls never stand in the way of the push that would free them.
inline constexpr size_t kReplyBytesDefault = size_t{1} << 30;

inline constexpr size_t kParkedPullsMax = 65536;

// Steps that a worker may be ahead of its job's open round. When it is the
// last to end a step, all rounds up to it close at once: a millisecond.
inline constexpr uint64_t kRoundsAheadMax = 1024;

// What a refused client is told to wait before it tries again.
inline constexpr uint32_t kRetryAfterMs = 50;

// gRPC reads from a socket up to so many bytes at a time, into blocks of the
// second size; a small message pins the whole block it arrived in.
inline constexpr size_t kReadChunkBytes = size_t{256} << 10;
inline constexpr size_t kReadBlockBytes = size_t{64} << 10;

// Bytes of all messages that a server has received or is receiving. gRPC looks
// at a message's size only when all of it has come, so this is what bounds a
// peer that claims 4 GB and sends them: beyond it gRPC cancels streams. Twice
// what is held by design, so that 16 of the largest messages can be on the way.
inline constexpr size_t kReceiveBytesDefault = 2 * kHeldBytesDefault;

// ---- Key lists --------------------------------------------------------------

// Lists of so many keys are remembered by servers, and named by their hash when
// a client sends them again. Shorter ones cost more to look up than to send at
// 10 Gb/s (docs/benchmarks.md); a client's largest section has a list of 4 MiB.
inline constexpr size_t kKeyListKeysMin = 256;
inline constexpr size_t kKeyListKeysMax = size_t{512} << 10;

// Of a server. 8 Mi keys: what 500 workers that pull 16,384 keys a step have
// pulled and not pushed yet.
inline constexpr size_t kKeyListsBytesMax = size_t{64} << 20;

// Hashes of lists sent to one server that a client remembers, of 16 bytes.
inline constexpr size_t kSentListsMax = size_t{64} << 10;

// ---- Sessions ---------------------------------------------------------------

// Pushes of one session in flight per shard. The window of remembered answers
// has the same length, so a retry always finds its answer.
inline constexpr uint64_t kSessionWindow = 32;
// Beyond it those that were silent for longest expire, so many at a time;
// members of a job never do.
inline constexpr size_t kSessionsPerShardMax = 16384;
inline constexpr size_t kSessionsExpiredAtOnce = 1024;

// How long a push that came too early is held for the numbers before it. It
// takes a place among its stream's kStreamInFlightMax, which the missing one
// may need; reordering is over within milliseconds.
inline constexpr uint32_t kHeldPushMs = 200;

// ---- Jobs -------------------------------------------------------------------

inline constexpr size_t kWorkersPerJobMax = 4096;
inline constexpr size_t kJobsMax = 1024;
inline constexpr size_t kDataShardLeasesAhead = 2;
inline constexpr uint32_t kDataShardLeasesMax = 16;  // held by one worker
inline constexpr size_t kMembersMax = 16384;         // of all jobs together
inline constexpr size_t kJobDefinitionBytesMax = size_t{256} << 10;
inline constexpr size_t kBarriersOpenMax = 64;  // of one job, being waited at
inline constexpr size_t kBarriersPassedMax = 1024;  // of one job, remembered

// ---- Cluster ----------------------------------------------------------------

inline constexpr size_t kServersMax = 1024;        // ever registered
inline constexpr size_t kStateWatchersMax = 8192;  // of one process
inline constexpr size_t kInboxMax =
    65536;  // requests a coordinator has waiting

// Bytes of one file of a data set that a worker holds in memory.
inline constexpr size_t kDatasetBytesMax = size_t{2} << 30;

// One line of a text data set: the longest of the archive's package lists has
// 20 KB, a LIBSVM example with a million features 16 MB.
inline constexpr size_t kDataLineBytesMax = size_t{16} << 20;

// ---- Connections ------------------------------------------------------------

// Open connections of a server: two for each of the most workers that a job
// may have. And of one peer (an address) among them, so that sixteen hostile
// ones are needed to keep everybody else out; a worker needs two or three.
inline constexpr size_t kConnectionsMax = 8192;
inline constexpr size_t kConnectionsPerPeerMax = 512;

inline constexpr int kHandshakeTimeoutMs = 10'000;
inline constexpr int kMetadataBytesMax = 16 << 10;
inline constexpr int kConcurrentStreamsMax = 1024;

// Replies of one stream that wait for the peer to read them. Above the first
// the server reads no more requests of the stream; above the second, or when
// one reply takes longer than the timeout to leave, it ends the stream.
inline constexpr size_t kStreamUnsentBytesSoft = size_t{64} << 20;
inline constexpr size_t kStreamUnsentBytesMax = size_t{512} << 20;
inline constexpr int kWriteTimeoutMs = 30'000;

// Memory that one client shares with a server: four requests of the largest
// dense block there, or as many replies. It is used from its beginning, so a
// lane costs what lay in it at once. And lanes of a server: 64 workers.
inline constexpr size_t kShmLaneBytes = size_t{64} << 20;
inline constexpr size_t kShmLanesMax = 64;

// Requests below it, with their replies, go by gRPC: waking the other side is
// what they cost.
inline constexpr size_t kShmRequestBytesMin = size_t{32} << 10;

// Requests that wait in a client for their turn on one stream.
inline constexpr size_t kClientQueueBytesMax = size_t{256} << 20;

// A client that lost its server tries again after the first, doubling up to
// the second, each time a random share of it.
inline constexpr int kReconnectMinMs = 50;
inline constexpr int kReconnectMaxMs = 2'000;

// Deadline of a request that names none, and the longest one accepted.
inline constexpr uint32_t kDeadlineDefaultMs = 30'000;
inline constexpr uint32_t kDeadlineMaxMs = 600'000;

// ---- Store ------------------------------------------------------------------

// Bytes of row records that one shard copies out for one flush: a few
// milliseconds of its strand, and what bounds the memory of write-behind.
inline constexpr size_t kFlushShardBytesMax = size_t{8} << 20;

// Log that a restart replays, about: a few seconds' work, and as much disk.
inline constexpr uint64_t kUnstoredLogBytesDefault = uint64_t{512} << 20;

// ---- Log --------------------------------------------------------------------

// Payload of one record: the largest push with its section's header.
inline constexpr size_t kLogPayloadBytesMax = kPushBytesMax + (size_t{1} << 10);

// Bytes appended to the log that are not written yet; beyond it pushes are
// refused. Two of the largest records, so that one can be copied while the one
// before it is written.
inline constexpr size_t kLogBufferBytesDefault = 2 * kLogPayloadBytesMax;
inline constexpr size_t kLogBufferBytesMax = size_t{1} << 30;

// One file of the log. Its end costs a sync and a rename (about 2 ms), and
// what is needed no more goes in pieces of this size.
inline constexpr size_t kLogSegmentBytesDefault = size_t{256} << 20;
inline constexpr size_t kLogSegmentBytesMin = size_t{4} << 10;

// The log's buffers are made of blocks that stay in the second-level cache;
// blocks between uses, up to the second number, are kept.
inline constexpr size_t kLogBlockBytes = size_t{256} << 10;
inline constexpr size_t kLogIdleBytesMax = size_t{32} << 20;

// Records read from the log for a peer in one go.
inline constexpr size_t kLogReadBytesMax = size_t{16} << 20;

// ---- Replication ------------------------------------------------------------

// Of one wire message between two servers, and of one message in it.
inline constexpr size_t kPeerMessagesMax = 4096;
inline constexpr size_t kPeerRecordsMax = 1024;

// Records are sent to a peer in messages of so many bytes (or one record),
// with so many on the way: 4 MiB are 1 ms of a 40 Gb/s link.
inline constexpr size_t kPeerAppendBytes = size_t{1} << 20;
inline constexpr size_t kPeerWindowBytes = size_t{4} << 20;

// Bytes of one shard's records that are appended and not committed; beyond it
// pushes are refused. Two of the largest pushes.
inline constexpr size_t kTailBytesMax = 2 * kMessageBytesMax;

// Bytes of committed records that a primary keeps for a peer that is behind;
// what is older comes from the log.
inline constexpr size_t kTailKeptBytesMax = size_t{4} << 20;

// crc32cs of the last records of a shard that a replica knows by heart, to
// tell an overlap from a divergence.
inline constexpr size_t kCrcsKept = 512;

// A backup hears of the commit point after the first at the latest; after the
// second its primary says something in any case.
inline constexpr int kPeerCommitMs = 10;
inline constexpr int kPeerHeartbeatMs = 50;

// No acknowledgement for so long: the records are sent again.
inline constexpr int kPeerResendMs = 100;

// A backup that says nothing, or that stores nothing of what it was sent, is
// dropped from in_sync.
inline constexpr int kPeerSilenceMs = 300;
inline constexpr int kPeerStallMs = 1000;

inline constexpr int kReplicaReportMs = 50;  // reports are repeated
inline constexpr int kPeerSumMs = 1000;      // replicas are compared

// ---- Configuration ----------------------------------------------------------

inline constexpr size_t kConfigBytesMax = size_t{1} << 20;
inline constexpr size_t kArgumentBytesMax = size_t{64} << 10;
inline constexpr size_t kYamlNodesMax = 16384;  // values of one file
inline constexpr size_t kYamlDepthMax = 16;  // maps and lists within each other
inline constexpr size_t kYamlKeyBytesMax = 256;

}  // namespace paramo
