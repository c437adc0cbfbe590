#include "common/rocks/logger.h"

#include <cstdarg>
#include <cstdio>

#include <rocksdb/env.h>

#include "absl/strings/ascii.h"
#include "common/base/log.h"

namespace paramo {
namespace {

class ForwardingLogger final : public rocksdb::Logger {
 public:
  ForwardingLogger() : rocksdb::Logger(rocksdb::InfoLogLevel::ERROR_LEVEL) {}

  using rocksdb::Logger::Logv;
  void Logv(const char* format, va_list arguments) override {
    char text[512];
    std::vsnprintf(text, sizeof(text), format, arguments);
    LogError("RocksDB: %s",
             Printable(absl::StripTrailingAsciiWhitespace(text)));
  }
};

}  // namespace

std::shared_ptr<rocksdb::Logger> MakeRocksLogger() {
  return std::make_shared<ForwardingLogger>();
}

}  // namespace paramo
