// The settings of one command, declared once, in a line each. From that line
// come the flag --data-dir, the variable PARAMO_DATA_DIR, the key `data-dir`
// of the YAML file, the help text and the table of --show-config.
//
//   Config config("paramo-server", "holds shards; serves pulls and pushes");
//   config.Address("listen", options.listen, "serve here; port 0 = any");
//   config.Size("memory", options.memory_bytes, {1 << 20}, "for rows");
//   config.Example("paramo-server --coordinator 127.0.0.1:7070");
//   if (auto status = config.ParseMain(argc, argv)) return *status;
//
// The default is the variable's value at declaration. Precedence: flag >
// environment > file > default; every source given must be valid, also where a
// stronger one hides it. An empty environment variable counts as not set.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/config/value.h"

namespace paramo {

// Exit statuses of every binary. 78 is EX_CONFIG of sysexits.h.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitConfig = 78;

using Environment = std::map<std::string, std::string>;

// The PARAMO_ variables of this process.
Environment ParamoEnvironment();

// One setting: what was declared, and where its value came from. Life: made
// and owned by Config.
struct Setting {
  std::string name;  // "data-dir"
  std::string unit;  // "DIR", for the help; empty for a switch
  std::string help;
  std::string value;  // in force, as text
  std::string default_value;
  std::string origin = "default";  // "flag", "PARAMO_X", "server.yaml:3:1"
  std::function<absl::Status(absl::string_view text)> apply;
  bool is_text = false;  // a quoted YAML scalar is fine
  bool is_list = false;  // several values: comma, YAML list or repeated flag
  bool positional = false;
  bool optional = false;   // of a positional
  bool flag_only = false;  // neither variable nor key
  bool hidden = false;     // not in the help
  bool given = false;      // some source set it

  // Of one invocation only: no variable, no key.
  Setting& FlagOnly() { return flag_only = true, *this; }
  Setting& Hidden() { return hidden = true, *this; }
  // What the help calls the value; "" makes it optional, as for a switch.
  Setting& Unit(const char* text) { return unit = text, *this; }
  // What the help says instead of the value; "" says nothing.
  Setting& Default(const char* text) { return default_value = text, *this; }
  std::string Variable() const;  // "PARAMO_DATA_DIR"
};

// Threads: one. Borrows the variables that it fills.
class Config {
 public:
  // `program` as it is typed, "paramo table create"; `summary` is one phrase.
  Config(std::string program, std::string summary);
  Config(const Config&) = delete;
  Config& operator=(const Config&) = delete;

  // ---- Declaring ------------------------------------------------------------

  Setting& Text(const char* name, std::string& target, const char* help);
  Setting& Choice(const char* name, std::string& target,
                  std::vector<std::string> choices, const char* help);
  Setting& Switch(const char* name, bool& target, const char* help);
  Setting& Number(const char* name, double& target, NumberRange range,
                  const char* help);
  Setting& Duration(const char* name, absl::Duration& target,
                    DurationRange range, const char* help);
  // One HOST:PORT; port 0 is fine.
  Setting& Address(const char* name, std::string& target, const char* help);
  // Where to find the cluster: HOST:PORT,HOST:PORT.
  Setting& Addresses(const char* name, std::vector<std::string>& target,
                     const char* help);
  // Repeatable text: --param lr=0.1 --param eps=1e-8.
  Setting& Texts(const char* name, std::vector<std::string>& target,
                 const char* help);
  template <typename T>
  Setting& Int(const char* name, T& target, IntRange range, const char* help) {
    return AddInt(name, static_cast<int64_t>(target), Narrow<T>(range), help,
                  [&target](int64_t v) { target = static_cast<T>(v); });
  }
  template <typename T>
  Setting& Size(const char* name, T& target, IntRange range, const char* help) {
    return AddSize(name, static_cast<int64_t>(target), Narrow<T>(range), help,
                   [&target](int64_t v) { target = static_cast<T>(v); });
  }
  // An argument without a flag, in order of declaration.
  Setting& Positional(const char* name, std::string& target, const char* help);
  Setting& OptionalPositional(const char* name, std::string& target,
                              const char* help);

  // A runnable line for the help.
  void Example(std::string line);
  // The --config file is meant for another program: it is not read.
  void LeaveFileAlone() { reads_file_ = false; }
  // A rule over several settings, checked after all are set.
  void Check(std::function<absl::Status()> rule);

  // ---- Parsing --------------------------------------------------------------

  // Sets every variable. `args` are without the program's name.
  // Errors: INVALID_ARGUMENT naming the flag, the variable or file:line:column,
  //         the expected form and an example
  absl::Status Parse(const std::vector<std::string>& args,
                     const Environment& environment);

  // Parse for main(): also answers --help, --version, --show-config and
  // --check-config, and prints errors. Returns main's exit status, or nothing
  // when the program should run.
  std::optional<int> ParseMain(int argc, char** argv);
  std::optional<int> ParseMain(const std::vector<std::string>& args);

  // ---- After parsing --------------------------------------------------------

  const std::string& file() const { return config_file_; }  // --config
  std::string Help() const;
  // Name, value and, if wanted, origin of every setting, as aligned lines.
  std::string Table(bool origin) const;
  // The same as one JSON object.
  std::string Json(bool origin) const;
  // Variables that look misspelt; a strict error would trip over those that
  // Kubernetes makes for a service named `paramo`.
  const std::vector<std::string>& warnings() const { return warnings_; }
  // Whether the program's own command line was wrong, rather than what a file,
  // the environment or a rule says.
  bool usage_error() const { return usage_error_; }

 private:
  template <typename T>
  static IntRange Narrow(IntRange range) {
    static_assert(std::is_integral_v<T> && !std::is_same_v<T, bool>);
    if constexpr (sizeof(T) < sizeof(int64_t)) {
      constexpr auto kMax = static_cast<int64_t>(std::numeric_limits<T>::max());
      if (range.max > kMax) range.max = kMax;
    }
    return range;
  }
  Setting& Add(const char* name, std::string unit, std::string value,
               const char* help);
  Setting& AddInt(const char* name, int64_t value, IntRange range,
                  const char* help, std::function<void(int64_t)> set);
  Setting& AddSize(const char* name, int64_t value, IntRange range,
                   const char* help, std::function<void(int64_t)> set);

  absl::Status ApplyFile(const std::string& file);
  absl::Status ApplyEnvironment(const Environment& environment);
  static absl::Status Apply(Setting& setting, absl::string_view text,
                            std::string origin, absl::string_view context);

  const std::string program_;
  const std::string summary_;
  std::deque<Setting> settings_;  // references stay valid
  std::vector<std::string> examples_;
  std::vector<std::function<absl::Status()>> rules_;
  std::vector<std::string> warnings_;

  bool reads_file_ = true;

  // Settings that every program has.
  std::string config_file_;
  bool help_ = false;
  bool version_ = false;
  bool check_config_ = false;
  std::string show_config_;
  bool usage_error_ = false;
};

}  // namespace paramo
