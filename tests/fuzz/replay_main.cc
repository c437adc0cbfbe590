// Stands in for libFuzzer where the compiler has none:
//
//   fuzz_yaml CORPUS [SEED [MUTATIONS]]
//
// runs the target over every file of the folder CORPUS, then over MUTATIONS
// (4,000) inputs that the seed makes of them. An input that crashes is written
// to ./crash-SEED-NUMBER and named on stderr.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "tests/fuzz/fuzz_input.h"

namespace paramo::fuzz {
namespace {

constexpr size_t kInputBytesMax = 64 << 10;

// What is running now, for the signal handler.
struct Running {
  std::string name;
  std::string input;
};
Running& Now() {
  static Running* running = new Running;
  return *running;
}

void KeepInput(int signal) {
  const Running& now = Now();
  const std::string file = "crash-" + now.name;
  const int fd = open(file.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0644);
  const std::string line =
      "input " + now.name + " crashed; it is in ./" + file + "\n";
  if (fd < 0 || write(fd, now.input.data(), now.input.size()) < 0 ||
      write(STDERR_FILENO, line.data(), line.size()) < 0) {
    _exit(1);
  }
  ::signal(signal, SIG_DFL);
  raise(signal);
}

void Run(std::string name, std::string input) {
  Now() = {std::move(name), std::move(input)};
  // A block of its own, so that sanitizers see a read past its end.
  const std::vector<uint8_t> bytes(Now().input.begin(), Now().input.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

std::vector<std::string> ReadCorpus(const std::string& folder) {
  std::vector<std::string> inputs;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    std::ifstream in(file, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(in),
                        std::istreambuf_iterator<char>());
    Run(file.filename().string(), inputs.back());
  }
  return inputs;
}

// One change of the kinds that parsers trip over.
void Mutate(BitGen& gen, const std::vector<std::string>& corpus,
            std::string& input) {
  const size_t at = gen.Below(input.size() + 1);
  const size_t length = 1 + gen.Below(gen.Below(2) ? 8 : 64);
  const std::string& other = corpus[gen.Below(corpus.size())];
  const size_t from = gen.Below(other.size() + 1);
  const char edges[] = {0, 1, 7, 8, 0x7f, static_cast<char>(0x80), -1};
  switch (gen.Below(7)) {
    case 0:
      if (at < input.size()) input[at] ^= static_cast<char>(1 << gen.Below(8));
      break;
    case 1:
      if (at < input.size()) input[at] = static_cast<char>(gen.Next());
      break;
    case 2:
      if (at < input.size()) input[at] = edges[gen.Below(sizeof edges)];
      break;
    case 3:
      input.erase(at, length);
      break;
    case 4:
      input.insert(at, other.substr(from, length));
      break;
    case 5:
      input.replace(at, length, other.substr(from, length));
      break;
    case 6:
      input = input.substr(0, at) + other.substr(from);
      break;
  }
  if (input.size() > kInputBytesMax) input.resize(kInputBytesMax);
}

int Main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "use: %s CORPUS [SEED [MUTATIONS]]\n", argv[0]);
    return 2;
  }
  const uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  const uint64_t mutations =
      argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 4000;
  for (int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
    ::signal(signal, KeepInput);
  }
  const std::vector<std::string> corpus = ReadCorpus(argv[1]);
  if (corpus.empty()) {
    std::fprintf(stderr, "%s holds no inputs\n", argv[1]);
    return 1;
  }
  for (uint64_t i = 0; i < mutations; ++i) {
    BitGen gen(Mix64(seed) + i);
    std::string input = corpus[gen.Below(corpus.size())];
    for (uint64_t n = 1 + gen.Below(4); n > 0; --n) Mutate(gen, corpus, input);
    Run(std::to_string(seed) + "-" + std::to_string(i), std::move(input));
  }
  std::printf("%zu inputs of the corpus, %llu mutations of them, seed %llu\n",
              corpus.size(), static_cast<unsigned long long>(mutations),
              static_cast<unsigned long long>(seed));
  return 0;
}

}  // namespace
}  // namespace paramo::fuzz

int main(int argc, char** argv) { return paramo::fuzz::Main(argc, argv); }
