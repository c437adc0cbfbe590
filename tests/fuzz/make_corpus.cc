// Writes the first inputs of every fuzz target: DIR/NAME/seed-*. What fuzzing
// finds beyond them is merged into the corpus (docs/hacking.md).
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/fuzz/corpus_messages.h"

namespace paramo::fuzz {
namespace {

void WriteSeeds(const std::string& root, const std::string& target,
                const Seeds& seeds) {
  const std::filesystem::path folder = std::filesystem::path(root) / target;
  std::filesystem::create_directories(folder);
  for (size_t i = 0; i < seeds.size(); ++i) {
    std::ofstream(folder / ("seed-" + std::to_string(i)), std::ios::binary)
        << seeds[i];
  }
}

Seeds Yaml() {
  return {
      "listen: 127.0.0.1:7070\nbytes: 64KiB\nservers: [a:1, b:2]\n",
      "name: \"quoted\"\ncount: 3\nnested:\n  number: 0.5\nentries: {a: 1}\n",
      "- 1\n- [2, 3]\n- {k: 'v'}\n- |\n  text\n  more\n",
      "a: &anchor 1\nb: *anchor\nc: !tag x\n--- \nd: ~\n",
      "? key\n: value\n\"k\\u0041\": >-\n  folded\n",
  };
}

Seeds JobFiles() {
  return {
      "version: 1\njob: f\nsync: bsp\nepochs: 2\nseed: 7\nworkers: 2\n"
      "data:\n  format: idx\n  dir: /d\n  partition: stratified\n"
      "  global_batch: 256\n  batches_per_data_shard: 8\n"
      "model:\n  kind: mlp\n  layers: [784, 128, 10]\n"
      "optimizer:\n  rule: adam\n  lr: 0.001\ntables:\n  prefix: p\n"
      "  block: 512\n",
      "version: 1\njob: g\nsync: ssp:3\nepochs: 1\nworkers: 1\n"
      "data: {format: libsvm, file: /f, global_batch: 8}\n"
      "model: {kind: logistic}\noptimizer: {rule: ftrl, lr: 0.1}\n",
      "version: 1\njob: h\nsync: async\nepochs: 1\nworkers: 4\n"
      "data: {format: debgraph, file: /f, global_batch: 64}\n"
      "model: {kind: link, dim: 16, negatives: 3}\n"
      "optimizer: {rule: adagrad, lr: 0.1}\n",
  };
}

Seeds Configs() {
  return {
      "--listen=[::1]:9\t--on\t--count\t7\tstatus\n"
      "PARAMO_LEVEL=debug\tPARAMO_RATE=0.25\n"
      "name: 'a b'\nbytes: 64KiB\ninterval: 250ms\n",
      "--param=lr=0.1\t--param\teps=1e-8\t--servers=a:1,b:2\n"
      "PARAMO_COUNT=9\tPARAMO_LISTN=x\n"
      "servers:\n  - c:3\n  - d:4\non: true\n",
      "--help\n\n",
      "--rate=2\nPARAMO_ON=maybe\nunknown: 1\n",
  };
}

Seeds Arguments() {
  return {"--data-dir\n/tmp\n--verbose\none\ntwo",
          "--param=a=1\n--param\nb\n--\n-x\n--help",
          "-h\n--verbose=false\n--data-dir=--x", "--dta-dir=1",
          "--data-dir\n--verbose\none\ntwo\nthree"};
}

// `text`, and a last byte that chooses.
std::string With(std::string text, char choice) {
  text.push_back(choice);
  return text;
}

// The last byte chooses the kind of value.
Seeds Values() {
  return {With("-12", 0),
          With("9223372036854775807", 0),
          With("1.5e-3", 1),
          With("0.05", 1),
          With("64MiB", 2),
          With("1.5GB", 2),
          With("9223372036854775807B", 2),
          With("1h30m", 3),
          With("-250.5ms", 3),
          With("127.0.0.1:7070,[::1]:1", 4),
          With("ps-0.svc:7071", 4),
          With("lsiten", 5),
          With("\xc3\xa4\"\\\xff\x01", 5),
          With("\xed\xa0\x80", 5)};
}

// Rule, parameters, initializer, tensor, non-finite, clipping, schedule; the
// last bytes are block and dimension.
Seeds TableFlags() {
  const std::string sparse =
      "sgd\nlr=0.1\nuniform:0.01\n\nreject\nnorm:5\n"
      "warmup:500+cosine:10000,0.01\n";
  const std::string dense =
      "adam\nlr=1e-3 beta1=0.9\nxavier:784,256\n784,256\nclip:10\n"
      "value:1,norm:2\nstep:100,0.5\n";
  return {With(With(sparse, 0), 1), With(With(dense, 1), 0),
          With(With("ftrl\n\nzeros\n4\nskip\noff\nconstant\n", 0), 0)};
}

Seeds Requests() {
  return {With("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 0),
          With("GET /healthz?x HTTP/1.0\r\n\r\n", 1), "POST / HTTP/1.1\r\n\r\n",
          "GET HTTP/1.1\r\n\r\n", "\x16\x03\x01 TLS"};
}

Seeds Libsvm() {
  std::string many;
  for (int i = 0; i < 40; ++i) {
    many += (i % 2 ? "+1 " : "-1 ") + std::to_string(i) + ":0.5 100:1e3\n";
  }
  return {many,          Gzip(many), "1 7:0.5\n0 # comment\n\n+1 1:1 2:2\r\n",
          "1 2:1 2:1\n", "2 1:1\n",  "1 1:nan\n"};
}

Seeds Packages() {
  std::string many;
  for (int i = 0; i < 12; ++i) {
    many += "Package: p" + std::to_string(i) + "\nVersion: 1\nDepends: ";
    for (int j = 0; j < 6; ++j) {
      many += (j ? ", p" : "p") + std::to_string((i + j * j + 1) % 12);
    }
    many += "\n\n";
  }
  return {many,
          Gzip(many),
          "Package: a\nDepends: b (>= 1) | c:any [amd64] <!x>,\n d\n"
          "Recommends: e\n\nPackage: b\nDescription: x\n more\n",
          "Depends: a\n",
          "Package: A\n",
          "no field\n"};
}

}  // namespace
}  // namespace paramo::fuzz

int main(int argc, char** argv) {
  using namespace paramo::fuzz;
  if (argc != 2) {
    std::fprintf(stderr, "use: %s DIR\n", argv[0]);
    return 2;
  }
  const std::string root = argv[1];
  WriteSeeds(root, "arguments", Arguments());
  WriteSeeds(root, "cluster_state", ClusterStates());
  WriteSeeds(root, "config", Configs());
  WriteSeeds(root, "data_service", Conversations());
  WriteSeeds(root, "debgraph", Packages());
  WriteSeeds(root, "decode", Sections());
  WriteSeeds(root, "gzip", Files());
  WriteSeeds(root, "idx", Images());
  WriteSeeds(root, "job_file", JobFiles());
  WriteSeeds(root, "libsvm", Libsvm());
  WriteSeeds(root, "metrics_http", Requests());
  WriteSeeds(root, "shm_envelope", ShmEnvelopes());
  WriteSeeds(root, "table_flags", TableFlags());
  WriteSeeds(root, "value", Values());
  WriteSeeds(root, "wire_reply", WireReplies());
  WriteSeeds(root, "wire_request", WireRequests());
  WriteSeeds(root, "yaml", Yaml());
  return 0;
}
