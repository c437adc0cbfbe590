// `paramo bench`: the performance menu, a binary of its own.
#include "client/cli/commands.h"
#include "client/cli/process.h"

namespace paramo::cli {

int RunBench(const Args& args) {
  return Fail(ReplaceSelf("paramo-bench", args));
}

}  // namespace paramo::cli
