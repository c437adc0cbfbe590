// `paramo table neighbours TABLE KEY`: the rows nearest to one by direction.
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/neighbours.h"
#include "client/cli/output.h"
#include "client/cli/table_rows.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/hash/name_key.h"

namespace paramo::cli {
namespace {

struct Question {
  std::string table;
  std::string key;  // a number; with `names` a name
  std::string names;
  uint32_t k = 10;
};

absl::StatusOr<Records> Answer(const Question& question,
                               const ClusterFlags& flags) {
  KeyNames names;
  uint64_t key = 0;
  if (!question.names.empty()) {
    PARAMO_ASSIGN_OR_RETURN(names, KeyNames::Read(question.names));
    key = NameKey(question.key);
    if (!names.Has(key)) {
      return absl::NotFoundError(absl::StrCat(Printable(question.key, 64),
                                              " is not among the names "
                                              "of ",
                                              Printable(question.names)));
    }
  } else if (!absl::SimpleAtoi(question.key, &key)) {
    key = NameKey(question.key);
  }
  PARAMO_ASSIGN_OR_RETURN(
      const TableRows rows,
      ReadTable(flags.address, question.table, flags.timeout));
  PARAMO_ASSIGN_OR_RETURN(const std::vector<Neighbour> nearest,
                          Nearest(rows, key, question.k));
  Records records({"key", "name", "cosine"});
  for (const Neighbour& neighbour : nearest) {
    records.Add({neighbour.key,
                 names.Has(neighbour.key) ? names.NameOf(neighbour.key) : "",
                 neighbour.cosine});
  }
  return records;
}

}  // namespace

int RunTableNeighbours(const Args& args) {
  ClusterFlags flags;
  Question question;
  Config config("paramo table neighbours",
                "the rows of a sparse table nearest to one, by cosine");
  config.Positional("table", question.table, "its name");
  config.Positional("key", question.key,
                    "a key, or a name where keys are hashes of names");
  config.Int("k", question.k, {1, 10000}, "how many");
  config
      .Text("names", question.names,
            "names to print for keys, one per line or an apt-cache dumpavail; "
            "KEY is one of them")
      .Unit("FILE");
  flags.AddTo(config);
  config.Example("paramo table neighbours ads 4711 --k 5");
  config.Example(
      "apt-cache pkgnames > names; paramo table neighbours debgraph.target "
      "firefox-esr --names names");
  if (auto status = config.ParseMain(args)) return *status;
  absl::StatusOr<Records> records = Answer(question, flags);
  if (!records.ok()) return Fail(records.status());
  Print(flags.json() ? records->Json() + "\n" : records->Table());
  return kExitOk;
}

}  // namespace paramo::cli
