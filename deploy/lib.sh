# shellcheck shell=bash
# What deploy/demo and deploy/test have in common: install what is missing,
# build release, say little. Sourced, not run.
#
# Everything said here goes to stderr: stdout belongs to what is run
# afterwards (`deploy/demo --json -` must print nothing but JSON).

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build/release
log=$root/build/deploy.log
step_names=()
step_seconds=()

say() { echo "paramo: $*" >&2; }

die() {
  say "$*"
  exit 1
}

# step NAME COMMAND...  runs it and remembers how long it took.
step() {
  local name=$1 start=$SECONDS
  shift
  "$@"
  step_names+=("$name")
  step_seconds+=($((SECONDS - start)))
}

print_step_minutes() {
  local i
  printf '\n%-12s %8s\n' step minutes
  for i in "${!step_names[@]}"; do
    printf '%-12s %8s\n' "${step_names[i]}" \
      "$(awk "BEGIN { printf \"%.1f\", ${step_seconds[i]} / 60 }")"
  done
}

# Shows why a command failed: the end of what it wrote to the log.
die_with_log() {
  say "$1; the end of $log:"
  tail -n 60 "$log" >&2
  exit 1
}

# ---- Packages ----------------------------------------------------------------

missing_packages() {
  local wanted installed
  wanted=$(sed 's/#.*//' "$root/deploy/packages.txt" | xargs -n1 | sort -u)
  # dpkg-query complains about names that it has never seen: those are missing.
  # shellcheck disable=SC2086  # one argument per name
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted \
    2>/dev/null | sed -n 's/^installed //p' | sort -u)
  comm -23 <(echo "$wanted") <(echo "$installed")
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
    install -y --no-install-recommends "$@" >>"$log" 2>&1
}

# The package lists are fetched only when an install fails without it: on a
# machine that has never fetched them, or whose lists are too old.
install_packages() {
  if ! command -v dpkg-query >/dev/null; then
    say "this is not Debian or Ubuntu: packages are not checked." \
      "What is needed is in deploy/packages.txt"
    return
  fi
  local missing
  missing=$(missing_packages)
  [ -n "$missing" ] || return 0
  # shellcheck disable=SC2086
  set -- $missing
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    die "these packages are missing, and installing them needs root or sudo." \
      "Run as root: apt-get update && apt-get install -y $*"
  fi
  say "installing $# packages: $*"
  : >"$log"
  apt_install "$@" && return
  as_root apt-get update >>"$log" 2>&1 ||
    die_with_log "apt-get update failed (is there a network?)"
  apt_install "$@" || die_with_log "apt-get install $* failed"
}

# ---- Build -------------------------------------------------------------------

# Compilers at once: as many as there are processors, but not more than memory
# holds. The files that include gRPC take up to 1.5 GiB each.
build_jobs() {
  local kib limit
  kib=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
  limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)
  if [[ $limit =~ ^[0-9]+$ ]] && ((limit / 1024 < kib)); then
    kib=$((limit / 1024))
  fi
  local by_memory=$((kib / (1536 * 1024))) by_processor
  by_processor=$(nproc)
  local jobs=$((by_memory < by_processor ? by_memory : by_processor))
  echo $((jobs > 0 ? jobs : 1))
}

configure() {
  if [ -f "$build/CMakeCache.txt" ] &&
    ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$build/CMakeCache.txt"
  then
    die "$build was made for another folder (was the checkout moved?);" \
      "delete it and run this again"
  fi
  [ ! -f "$build/build.ninja" ] || return 0  # ninja configures again if needed
  say "configuring build/release"
  (cd "$root" && cmake --preset release) >"$log" 2>&1 ||
    die_with_log "configuring failed"
}

# Copies ninja's lines to the log, and says now and then how far it is: on a
# terminal on one line, otherwise every half minute.
show_progress() {
  local line said=$SECONDS start=$SECONDS drawn=
  while IFS= read -r line; do
    printf '%s\n' "$line" >>"$log"
    [[ $line =~ ^\[([0-9]+/[0-9]+)\] ]] || continue
    if [ -t 2 ]; then
      printf '\rparamo: building %s, %d s ' "${BASH_REMATCH[1]}" \
        $((SECONDS - start)) >&2
      drawn=1
    elif ((SECONDS - said >= 30)); then
      say "building ${BASH_REMATCH[1]}, $((SECONDS - start)) s"
      said=$SECONDS
    fi
  done
  [ -z "$drawn" ] || printf '\r\033[K' >&2
}

compile() {
  : >"$log"
  ninja -C "$build" -j "$(build_jobs)" "$@" 2>&1 | show_progress ||
    die_with_log "the build failed"
}

# prepare TARGET...  brings build/release up to date. One at a time: a second
# caller waits.
prepare() {
  mkdir -p "$root/build"
  local before=$SECONDS
  exec 9>"$root/build/.deploy.lock"
  flock -n 9 || {
    say "waiting for another deploy command in this folder"
    flock 9
  }
  step packages install_packages
  step configure configure
  step build compile "$@"
  exec 9>&-
  if grep -q '^ninja: no work to do' "$log"; then
    say "packages and build/release are up to date"
  else
    say "ready after $((SECONDS - before)) s: $build/bin"
  fi
}
