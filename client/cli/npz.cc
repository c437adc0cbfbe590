#include "client/cli/npz.h"

#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/base/status.h"

namespace paramo::cli {
namespace {

constexpr uint16_t kVersion = 45;   // needed to extract: ZIP64
constexpr uint16_t kDate = 0x0021;  // 1 January 1980: equal data, equal files
constexpr uint32_t kInZip64 = 0xffffffff;
constexpr size_t kLocalExtraBytes = 20;
// Of a local header: where crc-32 stands.
constexpr size_t kCrcOffset = 14;

// Little-endian fields, as zip and x86-64 have them.
template <typename T>
void Put(std::string& out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) {
    out.push_back(static_cast<char>(value >> (8 * i)));
  }
}

std::string NpyHeader(absl::string_view dtype,
                      absl::Span<const uint64_t> shape) {
  // A tuple of one needs its comma.
  std::string dict = absl::StrCat(
      "{'descr': '", dtype, "', 'fortran_order': False, 'shape': (",
      absl::StrJoin(shape, ", "), shape.size() == 1 ? ",), }" : "), }");
  constexpr size_t kPrelude = 10;  // magic, version, length
  // Padded so that the data starts at a multiple of 64 bytes.
  dict.append(63 - (kPrelude + dict.size()) % 64, ' ');
  dict.push_back('\n');
  std::string header("\x93NUMPY\x01\x00", 8);
  Put<uint16_t>(header, static_cast<uint16_t>(dict.size()));
  return header + dict;
}

// The part that local and central headers share, after their version fields.
void PutCommon(std::string& out, uint32_t crc, const std::string& name,
               uint16_t extra_bytes) {
  Put<uint16_t>(out, 0);  // flags
  Put<uint16_t>(out, 0);  // stored
  Put<uint16_t>(out, 0);  // time
  Put<uint16_t>(out, kDate);
  Put<uint32_t>(out, crc);
  Put<uint32_t>(out, kInZip64);  // sizes: always in the extra field
  Put<uint32_t>(out, kInZip64);
  Put<uint16_t>(out, static_cast<uint16_t>(name.size()));
  Put<uint16_t>(out, extra_bytes);
}

std::string LocalHeader(const std::string& name, uint64_t bytes) {
  std::string out("PK\x03\x04");
  Put<uint16_t>(out, kVersion);
  PutCommon(out, /*crc=*/0, name, kLocalExtraBytes);
  out += name;
  Put<uint16_t>(out, 1);  // ZIP64 extra field
  Put<uint16_t>(out, 16);
  Put<uint64_t>(out, bytes);
  Put<uint64_t>(out, bytes);
  return out;
}

std::string CentralHeader(const std::string& name, uint32_t crc, uint64_t bytes,
                          uint64_t offset) {
  std::string out("PK\x01\x02");
  Put<uint16_t>(out, kVersion);
  Put<uint16_t>(out, kVersion);
  PutCommon(out, crc, name, /*extra_bytes=*/28);
  Put<uint16_t>(out, 0);  // comment
  Put<uint16_t>(out, 0);  // disk
  Put<uint16_t>(out, 0);  // internal attributes
  Put<uint32_t>(out, 0);  // external attributes
  Put<uint32_t>(out, kInZip64);
  out += name;
  Put<uint16_t>(out, 1);
  Put<uint16_t>(out, 24);
  Put<uint64_t>(out, bytes);
  Put<uint64_t>(out, bytes);
  Put<uint64_t>(out, offset);
  return out;
}

std::string EndOfArchive(uint64_t entries, uint64_t start, uint64_t bytes) {
  std::string out("PK\x06\x06");  // ZIP64 end of central directory
  Put<uint64_t>(out, 44);
  Put<uint16_t>(out, kVersion);
  Put<uint16_t>(out, kVersion);
  Put<uint32_t>(out, 0);
  Put<uint32_t>(out, 0);
  Put<uint64_t>(out, entries);
  Put<uint64_t>(out, entries);
  Put<uint64_t>(out, bytes);
  Put<uint64_t>(out, start);
  out += "PK\x06\x07";  // its locator
  Put<uint32_t>(out, 0);
  Put<uint64_t>(out, start + bytes);
  Put<uint32_t>(out, 1);
  out += "PK\x05\x06";  // end of central directory: "see ZIP64"
  Put<uint16_t>(out, 0);
  Put<uint16_t>(out, 0);
  Put<uint16_t>(out, 0xffff);
  Put<uint16_t>(out, 0xffff);
  Put<uint32_t>(out, kInZip64);
  Put<uint32_t>(out, kInZip64);
  Put<uint16_t>(out, 0);
  return out;
}

uint32_t Crc32(uint32_t crc, const void* data, size_t bytes) {
  return static_cast<uint32_t>(
      ::crc32_z(crc, static_cast<const Bytef*>(data), bytes));
}

}  // namespace

absl::StatusOr<std::unique_ptr<NpzWriter>> NpzWriter::Create(std::string path) {
  const std::string part = path + ".part";
  std::FILE* file = std::fopen(part.c_str(), "wbe");
  if (file == nullptr) {
    return ErrnoStatus(errno, absl::StrCat("cannot write ", part));
  }
  return std::unique_ptr<NpzWriter>(new NpzWriter(std::move(path), file));
}

NpzWriter::NpzWriter(std::string path, std::FILE* file)
    : path_(std::move(path)), file_(file) {}

NpzWriter::~NpzWriter() {
  if (file_ != nullptr) std::fclose(file_);
  if (!finished_) ::unlink((path_ + ".part").c_str());
}

absl::Status NpzWriter::Write(absl::string_view bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) {
    return ErrnoStatus(errno, absl::StrCat("cannot write ", path_, ".part"));
  }
  position_ += bytes.size();
  return absl::OkStatus();
}

absl::Status NpzWriter::Begin(absl::string_view name, absl::string_view dtype,
                              absl::Span<const uint64_t> shape) {
  PARAMO_RETURN_IF_ERROR(EndEntry());
  const std::string header = NpyHeader(dtype, shape);
  PARAMO_CHECK(dtype == "<f4" || dtype == "<u8");
  missing_ = dtype == "<f4" ? 4 : 8;
  for (uint64_t size : shape) missing_ *= size;
  Entry entry;
  entry.name = absl::StrCat(name, ".npy");
  entry.offset = position_;
  entry.bytes = header.size() + missing_;
  entry.crc = Crc32(0, header.data(), header.size());
  PARAMO_RETURN_IF_ERROR(Write(LocalHeader(entry.name, entry.bytes)));
  PARAMO_RETURN_IF_ERROR(Write(header));
  entries_.push_back(std::move(entry));
  open_ = true;
  return absl::OkStatus();
}

absl::Status NpzWriter::Append(absl::Span<const float> values) {
  return WriteData(values.data(), values.size() * sizeof(float));
}
absl::Status NpzWriter::Append(absl::Span<const uint64_t> values) {
  return WriteData(values.data(), values.size() * sizeof(uint64_t));
}

absl::Status NpzWriter::WriteData(const void* data, size_t bytes) {
  PARAMO_CHECK(open_ && bytes <= missing_);
  missing_ -= bytes;
  entries_.back().crc = Crc32(entries_.back().crc, data, bytes);
  return Write(absl::string_view(static_cast<const char*>(data), bytes));
}

// Goes back and writes the checksum, known only now, into the local header.
absl::Status NpzWriter::EndEntry() {
  if (!open_) return absl::OkStatus();
  const Entry& entry = entries_.back();
  if (missing_ != 0) {
    return absl::InternalError(absl::StrCat(entry.name, " lacks ", missing_,
                                            " of ", entry.bytes, " bytes"));
  }
  open_ = false;
  std::string crc;
  Put<uint32_t>(crc, entry.crc);
  if (::fseeko(file_, static_cast<off_t>(entry.offset + kCrcOffset),
               SEEK_SET) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot seek in ", path_, ".part"));
  }
  PARAMO_RETURN_IF_ERROR(Write(crc));
  position_ -= crc.size();  // overwritten, not added
  if (::fseeko(file_, 0, SEEK_END) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot seek in ", path_, ".part"));
  }
  return absl::OkStatus();
}

absl::Status NpzWriter::Finish() {
  PARAMO_RETURN_IF_ERROR(EndEntry());
  const uint64_t start = position_;
  for (const Entry& entry : entries_) {
    PARAMO_RETURN_IF_ERROR(
        Write(CentralHeader(entry.name, entry.crc, entry.bytes, entry.offset)));
  }
  PARAMO_RETURN_IF_ERROR(
      Write(EndOfArchive(entries_.size(), start, position_ - start)));
  if (std::fclose(std::exchange(file_, nullptr)) != 0 ||
      std::rename((path_ + ".part").c_str(), path_.c_str()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot write ", path_));
  }
  finished_ = true;
  return absl::OkStatus();
}

}  // namespace paramo::cli
