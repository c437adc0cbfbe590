// The text of the file PARAMO, written and read.
//
//   paramo data directory
//   format 1
//   cluster 0f1e2d3c4b5a6978
//   server 3
//   incarnation 8877665544332211
//   clean no
//   boot 5d7a2c1e-0b0f-4a57-9c0e-6f3c2b1a0d9e
//   crc32 dad46c48
//
// Numbers in hexadecimal but for format and server. The checksum (zlib's) is
// of all bytes before its line.
#include <zlib.h>

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "server/store/data_dir.h"

namespace paramo {
namespace {

constexpr absl::string_view kTitle = "paramo data directory\n";
constexpr absl::string_view kChecksumWord = "crc32 ";

std::string ChecksumLine(absl::string_view bytes) {
  const auto checksum = crc32(0, reinterpret_cast<const Bytef*>(bytes.data()),
                              static_cast<uInt>(bytes.size()));
  return absl::StrFormat("%s%08x\n", kChecksumWord, checksum);
}

absl::Status Damaged(absl::string_view how) {
  return absl::DataLossError(absl::StrCat(
      "the file PARAMO is damaged (", how,
      "); it must not be edited. Restore the data directory from a copy, or "
      "move it away and start empty"));
}

// Takes "name value\n" off the front of `text`; the value is "" if the line
// is not there.
absl::string_view TakeLine(absl::string_view name, absl::string_view& text) {
  const size_t end = text.find('\n');
  if (end == absl::string_view::npos || end <= name.size() + 1 ||
      text.substr(0, name.size()) != name || text[name.size()] != ' ') {
    return "";
  }
  absl::string_view value = text.substr(name.size() + 1, end - name.size() - 1);
  text.remove_prefix(end + 1);
  return value;
}

bool ParseClean(absl::string_view value, bool& clean) {
  clean = value == "yes";
  return clean || value == "no";
}

}  // namespace

std::string DataDirFile::Format() const {
  std::string text = absl::StrFormat(
      "%sformat %u\ncluster %016x\nserver %u\nincarnation %016x\nclean %s\n"
      "boot %s\n",
      kTitle, format_version, cluster_id, server_id, incarnation,
      clean ? "yes" : "no", boot_id);
  return absl::StrCat(text, ChecksumLine(text));
}

absl::StatusOr<DataDirFile> DataDirFile::Parse(absl::string_view text) {
  if (text.substr(0, kTitle.size()) != kTitle) {
    return Damaged("its first line is wrong");
  }
  const size_t checksum_at = text.rfind(kChecksumWord);
  if (checksum_at == absl::string_view::npos) {
    return Damaged("it has no checksum");
  }
  if (text.substr(checksum_at) != ChecksumLine(text.substr(0, checksum_at))) {
    return Damaged("its checksum is wrong");
  }

  DataDirFile file;
  absl::string_view rest = text.substr(kTitle.size());
  if (!absl::SimpleAtoi(TakeLine("format", rest), &file.format_version)) {
    return Damaged("it has no format version");
  }
  // Other versions may have other lines; the caller refuses them by number.
  if (file.format_version != kDataFormatVersion) return file;
  if (!absl::SimpleHexAtoi(TakeLine("cluster", rest), &file.cluster_id) ||
      !absl::SimpleAtoi(TakeLine("server", rest), &file.server_id) ||
      !absl::SimpleHexAtoi(TakeLine("incarnation", rest), &file.incarnation) ||
      !ParseClean(TakeLine("clean", rest), file.clean)) {
    return Damaged("a line is missing");
  }
  absl::string_view boot = TakeLine("boot", rest);
  file.boot_id = std::string(boot.data(), boot.size());
  return file;
}

}  // namespace paramo
