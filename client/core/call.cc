#include "client/core/call.h"

#include <algorithm>

namespace paramo::client {
namespace {

void CutPart(uint32_t index, const Part& part, std::vector<Parcel>& parcels) {
  const size_t row_bytes = 8 + part.value_bytes();
  const uint32_t rows_max = static_cast<uint32_t>(
      std::max<size_t>(1, kRequestBytesTarget / row_bytes));
  for (const ShardRun& run : part.split->runs) {
    for (uint32_t begin = run.begin; begin < run.end; begin += rows_max) {
      Parcel parcel;
      parcel.shard = run.shard;
      parcel.part = index;
      parcel.begin = begin;
      parcel.end = std::min(run.end, begin + rows_max);
      parcel.is_pull = part.is_pull;
      parcel.bytes = kSectionBytes + row_bytes * (parcel.end - begin);
      parcels.push_back(parcel);
    }
  }
}

void MarkEndOfClock(uint32_t shard_count, std::vector<Parcel>& parcels) {
  std::vector<bool> marked(shard_count, false);
  for (size_t i = parcels.size(); i-- > 0;) {
    if (marked[parcels[i].shard]) continue;
    parcels[i].end_of_clock = true;
    marked[parcels[i].shard] = true;
  }
  for (ShardId shard = 0; shard < shard_count; ++shard) {
    if (marked[shard]) continue;
    Parcel parcel;
    parcel.shard = shard;
    parcel.end_of_clock = true;
    parcel.bytes = kSectionBytes;
    parcels.push_back(parcel);
  }
}

}  // namespace

void MakeParcels(std::span<const Part> parts, uint32_t shard_count,
                 bool end_of_clock, std::vector<Parcel>& parcels) {
  for (uint32_t i = 0; i < parts.size(); ++i) {
    if (!parts[i].is_pull) CutPart(i, parts[i], parcels);
  }
  if (end_of_clock) MarkEndOfClock(shard_count, parcels);
  for (uint32_t i = 0; i < parts.size(); ++i) {
    if (parts[i].is_pull) CutPart(i, parts[i], parcels);
  }
}

}  // namespace paramo::client
