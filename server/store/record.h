// The little that the store knows of a row record: where its key and lsn are.
// The whole layout is in docs/formats/row.md. Internal to server/store.
#pragma once

#include <cstring>

#include "absl/strings/string_view.h"
#include "common/base/ids.h"

namespace paramo {

inline constexpr size_t kRecordBytesMin = 32;  // a row header and nothing else

// Both fields are little-endian, as are all machines that Paramo runs on
// (common/base/cpu.h).
inline Key RecordKey(absl::string_view record) {
  Key key;
  std::memcpy(&key, record.data(), sizeof(key));
  return key;
}
inline Lsn RecordLsn(absl::string_view record) {
  Lsn lsn;
  std::memcpy(&lsn, record.data() + sizeof(Key), sizeof(lsn));
  return lsn;
}

}  // namespace paramo
