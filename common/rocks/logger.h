// RocksDB's errors in our log. Every database of Paramo is opened with it.
#pragma once

#include <memory>

namespace rocksdb {
class Logger;
}

namespace paramo {

// Not a matter of taste: RocksDB's own log is a file in the database, and the
// distribution builds RocksDB with assertions, one of which stops the process
// when that file is written to again after an error. A full disk must not do
// that.
std::shared_ptr<rocksdb::Logger> MakeRocksLogger();

}  // namespace paramo
