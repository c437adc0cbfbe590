// A data file for a test; goes with the object.
#pragma once

#include <unistd.h>
#include <zlib.h>

#include <cstdlib>
#include <fstream>
#include <string>

namespace paramo {

class TextFile {
 public:
  enum class Form { kPlain, kGzip };
  explicit TextFile(const std::string& text, Form form = Form::kPlain) {
    char name[] = "/tmp/paramo_data_XXXXXX";
    close(mkstemp(name));
    path_ = name;
    if (form == Form::kPlain) {
      std::ofstream(path_, std::ios::binary) << text;
    } else {
      gzFile file = gzopen(name, "wb");
      gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
      gzclose(file);
    }
  }
  ~TextFile() { unlink(path_.c_str()); }
  TextFile(const TextFile&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace paramo
