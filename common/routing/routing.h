// Key -> shard: the same in every process, on every machine, for ever.
//
// Specification (docs/formats/routing.md). A cluster has N shards, N a
// power of two from 1 to 4096, fixed when the cluster is made. All arithmetic
// is on unsigned 64-bit integers, modulo 2^64; `>>` fills with zeros.
//
//     Mix64(x):  x = x + 0x9e3779b97f4a7c15
//                x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9
//                x = (x ^ (x >> 27)) * 0x94d049bb133111eb
//                return x ^ (x >> 31)
//
//     Hash(table, key)  = Mix64(Mix64(table) ^ key)
//     Shard(table, key) = Hash(table, key) >> (64 - log2 N);   0 when N = 1
//
// `table` is the table's id zero-extended to 64 bits, `key` the row's key.
// The table takes part so that key 0 of every table, a dense tensor's first
// block, does not land on one shard. The top bits are used so that a cluster
// of 2N shards cuts every shard of one of N in two, moving no other row.
// Test vectors: tests/golden/routing.txt, made by make_routing.py beside it.
#pragma once

#include <cstdint>

#include "absl/types/span.h"
#include "common/base/ids.h"
#include "common/base/random.h"

namespace paramo {

constexpr bool IsValidShardCount(uint32_t shard_count) {
  return shard_count != 0 && shard_count <= 4096 &&
         (shard_count & (shard_count - 1)) == 0;
}

constexpr uint64_t RoutingHash(TableId table, Key key) {
  return Mix64(Mix64(table) ^ key);
}

// `shard_count` must be valid.
constexpr ShardId ShardOf(TableId table, Key key, uint32_t shard_count) {
  // The high word of hash * N is the top log2 N bits, and needs no case for 1.
  return static_cast<ShardId>(
      (static_cast<unsigned __int128>(RoutingHash(table, key)) * shard_count) >>
      64);
}

// Shapes: keys [n] u64; shards [n], written. Cost: about 1 ns per key.
void ShardsOf(TableId table, absl::Span<const Key> keys, uint32_t shard_count,
              absl::Span<ShardId> shards);

}  // namespace paramo
