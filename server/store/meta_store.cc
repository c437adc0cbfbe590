#include "server/store/meta_store.h"

#include <rocksdb/iterator.h>
#include <rocksdb/write_batch.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "server/store/rocks_internal.h"

namespace paramo {
namespace {

constexpr size_t kCacheBytes = size_t{1} << 20;

constexpr char kFormatKey[] = "format";
constexpr char kFormat[] = "paramo-meta-1";

rocksdb::WriteOptions Synced() {
  rocksdb::WriteOptions write;
  write.sync = true;
  return write;
}

// A new one is marked as ours; nobody else's has the mark.
absl::Status CheckOurs(rocksdb::DB& db, const std::string& dir, bool create) {
  std::string format;
  const auto found = db.Get(rocksdb::ReadOptions(), kFormatKey, &format);
  if (found.ok() && format == kFormat) return absl::OkStatus();
  if (!found.ok() && !found.IsNotFound()) return FromRocks(found, dir);
  std::unique_ptr<rocksdb::Iterator> entries(
      db.NewIterator(rocksdb::ReadOptions()));
  entries->SeekToFirst();
  if (create && !entries->Valid()) {
    PARAMO_RETURN_IF_ERROR(FromRocks(entries->status(), dir));
    return FromRocks(db.Put(Synced(), kFormatKey, kFormat), dir);
  }
  return absl::FailedPreconditionError(absl::StrCat(
      dir,
      " is a RocksDB database, but not a metadata store of this version; "
      "check the data directory, or start with an empty one"));
}

}  // namespace

struct MetaStore::Impl {
  ~Impl() {
    if (db == nullptr) return;
    auto status = FromRocks(db->Close(), "closing the metadata store");
    if (!status.ok()) LogWarning("%s", ToString(status));
    delete db;
  }

  // After a failed write (a full disk) RocksDB refuses all others until it is
  // told to go on. It looks for free space by itself as well, every 5 seconds,
  // and while it does so it cannot be told.
  template <typename Write>
  absl::Status Retried(absl::string_view what, const Write& write) {
    rocksdb::Status status = write();
    if (!status.ok() && db->Resume().ok()) status = write();
    return FromRocks(status, what);
  }

  rocksdb::DB* db = nullptr;
};

absl::StatusOr<std::unique_ptr<MetaStore>> MetaStore::Open(
    const std::string& data_dir, bool create) {
  const std::string dir = absl::StrCat(data_dir, "/meta");
  auto impl = std::make_unique<Impl>();
  rocksdb::Options options = BaseRocksOptions({.cache_bytes = kCacheBytes});
  options.create_if_missing = create;
  options.write_buffer_size = size_t{1} << 20;
  PARAMO_RETURN_IF_ERROR(OpenRocks(dir, [&] {
    auto status = CheckOptionsFile(
        dir, options, {{rocksdb::kDefaultColumnFamilyName, options}});
    return status.ok() ? rocksdb::DB::Open(options, dir, &impl->db) : status;
  }));
  PARAMO_RETURN_IF_ERROR(CheckOurs(*impl->db, dir, create));
  return std::unique_ptr<MetaStore>(new MetaStore(std::move(impl)));
}

MetaStore::MetaStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

MetaStore::~MetaStore() = default;

absl::StatusOr<std::optional<std::string>> MetaStore::Get(
    absl::string_view key) const {
  std::string value;
  auto status = impl_->db->Get(rocksdb::ReadOptions(), ToSlice(key), &value);
  if (status.IsNotFound()) return std::optional<std::string>();
  PARAMO_RETURN_IF_ERROR(FromRocks(status, "reading metadata"));
  return std::optional<std::string>(std::move(value));
}

absl::Status MetaStore::Put(absl::string_view key, absl::string_view value) {
  return impl_->Retried("writing metadata", [&] {
    return impl_->db->Put(Synced(), ToSlice(key), ToSlice(value));
  });
}

absl::Status MetaStore::PutAll(
    const std::map<std::string, std::string>& entries) {
  rocksdb::WriteBatch batch;
  for (const auto& [key, value] : entries) {
    batch.Put(ToSlice(key), ToSlice(value)).PermitUncheckedError();
  }
  return impl_->Retried("writing metadata",
                        [&] { return impl_->db->Write(Synced(), &batch); });
}

absl::Status MetaStore::Delete(absl::string_view key) {
  return impl_->Retried("deleting metadata", [&] {
    return impl_->db->Delete(Synced(), ToSlice(key));
  });
}

absl::Status MetaStore::Scan(absl::string_view prefix,
                             const Visit& visit) const {
  std::unique_ptr<rocksdb::Iterator> entries(
      impl_->db->NewIterator(rocksdb::ReadOptions()));
  for (entries->Seek(ToSlice(prefix)); entries->Valid(); entries->Next()) {
    if (!absl::StartsWith(ToView(entries->key()), prefix)) break;
    PARAMO_RETURN_IF_ERROR(
        visit(ToView(entries->key()), ToView(entries->value())));
  }
  return FromRocks(entries->status(), "reading metadata");
}

}  // namespace paramo
