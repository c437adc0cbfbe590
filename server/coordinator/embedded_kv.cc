// Layout of the database: "f" format, "r" newest revision, "l" + id a lease's
// ttl, "k" + key an entry. Integers are little-endian.
//
// One mutex serialises everything. The coordinator has one writer, and a
// transaction is bound by the disk's sync, so finer locks would buy nothing.
#include "server/coordinator/embedded_kv.h"

#include "absl/strings/match.h"
#include "common/base/status.h"
#include "common/rocks/logger.h"
#include "server/coordinator/embedded_kv_internal.h"

namespace paramo {
namespace {

constexpr char kFormat[] = "paramo-coordinator-1";

absl::Status FromRocks(const rocksdb::Status& status, absl::string_view what) {
  if (status.ok()) return absl::OkStatus();
  std::string text = absl::StrCat(what, ": ", status.ToString());
  if (status.IsCorruption()) return absl::DataLossError(text);
  return absl::UnavailableError(text);
}

}  // namespace

void EmbeddedKv::AppendInt(std::string& out, int64_t value) {
  for (int shift = 0; shift < 64; shift += 8) {
    out.push_back(static_cast<char>(static_cast<uint64_t>(value) >> shift));
  }
}

int64_t EmbeddedKv::ReadInt(const char* bytes) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; --i) {
    value = value << 8 | static_cast<unsigned char>(bytes[i]);
  }
  return static_cast<int64_t>(value);
}

// create revision, mod revision, lease, value.
std::string EmbeddedKv::EncodeEntry(const KvEntry& entry) {
  std::string out;
  out.reserve(24 + entry.value.size());
  AppendInt(out, entry.create_revision);
  AppendInt(out, entry.mod_revision);
  AppendInt(out, entry.lease);
  out += entry.value;
  return out;
}

bool EmbeddedKv::DecodeEntry(const std::string& bytes, KvEntry& entry) {
  if (bytes.size() < 24) return false;
  entry.create_revision = ReadInt(bytes.data());
  entry.mod_revision = ReadInt(bytes.data() + 8);
  entry.lease = ReadInt(bytes.data() + 16);
  entry.value = bytes.substr(24);
  return true;
}

// A reader of the history that lets leases expire before it looks.
class EmbeddedWatch final : public KvWatch {
 public:
  EmbeddedWatch(EmbeddedKv& store, std::string prefix, int64_t from_revision)
      : store_(store), prefix_(std::move(prefix)), next_(from_revision) {}

  absl::StatusOr<std::vector<KvEvent>> Next(absl::Duration timeout) override {
    {
      MutexLock lock(store_.mu_);
      PARAMO_RETURN_IF_ERROR(store_.ExpireLeases());
    }
    return store_.history_.Read(prefix_, next_, timeout);
  }

 private:
  EmbeddedKv& store_;
  const std::string prefix_;
  int64_t next_;  // revision to continue from
};

absl::Status EmbeddedKv::Load() {
  MutexLock lock(mu_);
  std::unique_ptr<rocksdb::Iterator> it(
      db_->NewIterator(rocksdb::ReadOptions()));
  std::string format;
  for (it->SeekToFirst(); it->Valid(); it->Next()) {
    std::string key = it->key().ToString();
    std::string value = it->value().ToString();
    char kind = key.empty() ? '\0' : key[0];
    bool readable = true;
    if (kind == 'f') {
      format = value;
    } else if (kind == 'r' && value.size() == 8) {
      revision_ = ReadInt(value.data());
    } else if (kind == 'l' && key.size() == 9 && value.size() == 8) {
      int64_t id = ReadInt(key.data() + 1);
      Lease& lease = leases_[id];
      lease.ttl = absl::Nanoseconds(ReadInt(value.data()));
      lease.deadline = clock_.Now() + lease.ttl;
      last_lease_ = std::max(last_lease_, id);
    } else if (kind == 'k') {
      KvEntry entry;
      entry.key = key.substr(1);
      readable = DecodeEntry(value, entry);
      entries_[entry.key] = std::move(entry);
    } else {
      readable = false;
    }
    if (!readable) return absl::DataLossError("unreadable entry in the store");
  }
  PARAMO_RETURN_IF_ERROR(FromRocks(it->status(), "reading the store"));
  for (auto& [key, entry] : entries_) {
    auto lease = leases_.find(entry.lease);
    if (lease != leases_.end()) lease->second.keys.insert(key);
  }
  history_.StartAfter(revision_);
  if (format == kFormat) return absl::OkStatus();
  if (!format.empty() || !entries_.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the store has format '", format, "', this build reads ",
                     kFormat, "; use the build that wrote it"));
  }
  rocksdb::WriteBatch batch;
  batch.Put("f", kFormat);
  return Write(batch, "creating the store");
}

absl::Status EmbeddedKv::Write(rocksdb::WriteBatch& batch,
                               absl::string_view what) {
  rocksdb::WriteOptions options;
  options.sync = true;
  return FromRocks(db_->Write(options, &batch), what);
}

absl::StatusOr<KvRange> EmbeddedKv::Range(absl::string_view prefix) {
  MutexLock lock(mu_);
  PARAMO_RETURN_IF_ERROR(ExpireLeases());
  KvRange range;
  range.revision = revision_;
  std::string start(prefix.data(), prefix.size());
  for (auto it = entries_.lower_bound(start);
       it != entries_.end() && absl::StartsWith(it->first, prefix); ++it) {
    range.entries.push_back(it->second);
  }
  return range;
}

bool EmbeddedKv::Holds(const KvCompare& compare) const {
  auto it = entries_.find(compare.key);
  int64_t revision = 0;
  if (it != entries_.end()) {
    revision = compare.target == KvCompare::Target::kCreateRevision
                   ? it->second.create_revision
                   : it->second.mod_revision;
  }
  return revision == compare.revision;
}

absl::StatusOr<KvTxnResult> EmbeddedKv::Txn(const KvTxn& txn) {
  PARAMO_RETURN_IF_ERROR(CheckKvTxn(txn));
  MutexLock lock(mu_);
  PARAMO_RETURN_IF_ERROR(ExpireLeases());
  for (const KvCompare& compare : txn.compares) {
    if (!Holds(compare)) return KvTxnResult{false, revision_};
  }
  for (const KvPut& put : txn.puts) {
    if (put.lease != 0 && leases_.count(put.lease) == 0) {
      return absl::NotFoundError(
          absl::StrCat("lease ", put.lease, " has ended; grant a new one"));
    }
  }
  if (!txn.puts.empty() || !txn.deletes.empty()) {
    PARAMO_RETURN_IF_ERROR(Apply(txn.puts, txn.deletes));
  }
  return KvTxnResult{true, revision_};
}

absl::Status EmbeddedKv::Apply(const std::vector<KvPut>& puts,
                               const std::vector<std::string>& deletes) {
  const int64_t revision = revision_ + 1;
  std::vector<KvEvent> events;
  rocksdb::WriteBatch batch;
  for (const KvPut& put : puts) {
    auto old = entries_.find(put.key);
    KvEntry entry{put.key, put.value, revision, revision, put.lease};
    if (old != entries_.end()) {
      entry.create_revision = old->second.create_revision;
    }
    batch.Put("k" + put.key, EncodeEntry(entry));
    events.push_back({KvEvent::Type::kPut, std::move(entry)});
  }
  for (const std::string& key : deletes) {
    if (entries_.count(key) == 0) continue;
    batch.Delete("k" + key);
    events.push_back({KvEvent::Type::kDelete, {key, "", 0, revision, 0}});
  }
  std::string encoded;
  AppendInt(encoded, revision);
  batch.Put("r", encoded);
  PARAMO_RETURN_IF_ERROR(Write(batch, "writing a transaction"));

  revision_ = revision;
  for (const KvEvent& event : events) {
    auto old = entries_.find(event.entry.key);
    if (old != entries_.end()) {
      auto lease = leases_.find(old->second.lease);
      if (lease != leases_.end()) lease->second.keys.erase(event.entry.key);
      if (event.type == KvEvent::Type::kDelete) entries_.erase(old);
    }
    if (event.type == KvEvent::Type::kDelete) continue;
    entries_[event.entry.key] = event.entry;
    if (event.entry.lease != 0) {
      leases_[event.entry.lease].keys.insert(event.entry.key);
    }
  }
  history_.Append(std::move(events), revision);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<KvWatch>> EmbeddedKv::Watch(
    absl::string_view prefix, int64_t from_revision) {
  PARAMO_RETURN_IF_ERROR(history_.CheckHas(from_revision));
  return std::make_unique<EmbeddedWatch>(
      *this, std::string(prefix.data(), prefix.size()), from_revision);
}

absl::Status EmbeddedKv::Compact(int64_t revision) {
  return history_.Compact(revision);
}

absl::StatusOr<std::unique_ptr<KvStore>> OpenEmbeddedKv(
    const EmbeddedKvOptions& options) {
  rocksdb::Options rocks;
  rocks.create_if_missing = true;
  rocks.paranoid_checks = true;
  rocks.compression = rocksdb::kNoCompression;
  rocks.write_buffer_size = 4 << 20;  // the content is a few MiB at most
  rocks.max_background_jobs = 1;
  rocks.info_log = MakeRocksLogger();
  // A torn last write is a transaction nobody was answered; a bad record
  // before the end is corruption, and refuses to open.
  rocks.wal_recovery_mode =
      rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  rocksdb::DB* raw = nullptr;
  rocksdb::Status opened = rocksdb::DB::Open(rocks, options.path, &raw);
  std::unique_ptr<rocksdb::DB> db(raw);
  if (!opened.ok()) {
    absl::Status status =
        FromRocks(opened, absl::StrCat("opening ", options.path));
    bool locked = absl::StrContains(opened.ToString(), "lock");
    return locked ? absl::FailedPreconditionError(absl::StrCat(
                        status.message(), "; another coordinator uses it"))
                  : status;
  }
  auto store = std::make_unique<EmbeddedKv>(options, std::move(db));
  PARAMO_RETURN_IF_ERROR(Annotate(store->Load(), options.path));
  return std::unique_ptr<KvStore>(std::move(store));
}

}  // namespace paramo
