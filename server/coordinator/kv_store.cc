#include "server/coordinator/kv_store.h"

#include <set>

#include "absl/strings/str_cat.h"

namespace paramo {

absl::Status CheckKvTxn(const KvTxn& txn) {
  size_t operations = txn.puts.size() + txn.deletes.size();
  if (operations > kKvTxnOperationsMax ||
      txn.compares.size() > kKvTxnOperationsMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("a transaction holds at most ", kKvTxnOperationsMax,
                     " operations and as many compares"));
  }
  std::set<absl::string_view> keys;
  size_t bytes = 0;
  for (const KvPut& put : txn.puts) {
    keys.insert(put.key);
    bytes += put.key.size() + put.value.size();
  }
  for (const std::string& key : txn.deletes) keys.insert(key);
  if (keys.size() != operations || keys.count("") > 0) {
    return absl::InvalidArgumentError(
        "a transaction names each key once, and no empty key");
  }
  if (bytes > kKvTxnBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("a transaction holds at most ", kKvTxnBytesMax,
                     " bytes, this one ", bytes));
  }
  return absl::OkStatus();
}

}  // namespace paramo
