"""Holds every #include line against docs/layers.txt.

Usage: layers_test.py SOURCE_DIR [unittest arguments]
"""

import os
import re
import sys
import tempfile
import unittest

TOPS = ("common", "server", "client", "worker")
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')
ROOT_FILES = ("server.cc", "coordinator.cc", "client.cc", "worker.cc")
INSTALLED = "client/include/paramo"

# Libraries that no header shows, except *_internal.h: each costs every file
# that includes it seconds to compile, and ties it to one version.
HEAVY = ("grpc", "google/protobuf/", "paramo/v1/", "rocksdb/",
         "etcd/")


def read_layers(path):
    """Returns {directory: set of directories it may include}."""
    allowed = {}
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            words = line.split("#")[0].split()
            if not words:
                continue
            if words[0] == "chain":
                for i, directory in enumerate(words[1:], 1):
                    allowed.setdefault(directory, set()).update(words[i + 1:])
            elif words[0].endswith(":"):
                allowed.setdefault(words[0][:-1], set()).update(words[1:])
            else:
                raise ValueError(f"{path}:{number}: neither a chain nor a rule")
    return allowed


def covers(directory, target):
    return target == directory or target.startswith(directory + "/")


def owner_of(included):
    """The directory of ours that an include path names; None if not ours."""
    if included.startswith(("paramo/v1/", "etcd/")):
        return "proto"
    if included.startswith("paramo/"):
        return INSTALLED
    if included.split("/")[0] in TOPS + ("tests",):
        return os.path.dirname(included)
    return None


def is_root(name):
    return name in ROOT_FILES or name.endswith("_main.cc")


def allowed_for(path, allowed):
    """What a file may include; None when its directory has no line."""
    directory, name = os.path.split(path)
    if not is_root(name):
        if directory not in allowed:
            return None
        return allowed[directory] | {directory}
    top = directory.split("/")[0]
    union = {top}
    for key, values in allowed.items():
        if covers(top, key):
            union |= values
    return union


def complain_of_line(path, included, quoted, allowed):
    """The rules that one include line breaks."""
    directory = os.path.dirname(path)
    owner = owner_of(included)
    if quoted and "/" not in included:
        yield "include paths start at the repository root"
    is_header = path.endswith(".h")
    if is_header and not path.endswith("_internal.h"):
        for heavy in HEAVY:
            if included.startswith(heavy):
                yield (f"headers show nothing of {heavy.rstrip('/')}: use a "
                       "forward declaration, a .cc file or an _internal.h")
    if directory == INSTALLED and included.startswith(("absl/", "grpc",
                                                       "google/")):
        yield ("the installed headers are for users without Abseil, gRPC and "
               "protobuf")
    if owner is None:
        return
    if included.endswith("_internal.h") and owner != directory:
        yield f"{included} is for {owner} alone"
    may = allowed_for(path, allowed)
    if may is None:
        yield f"{directory} has no line in docs/layers.txt"
    elif not any(covers(one, owner) for one in may):
        listed = " ".join(sorted(may)) or "nothing"
        yield (f"{directory} may not include {owner}; docs/layers.txt allows "
               f"it: {listed}")


def source_files(root):
    for top in TOPS:
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in sorted(names):
                if name.endswith((".h", ".cc", ".cu", ".cuh")):
                    yield os.path.relpath(os.path.join(folder, name), root)


def violations(root):
    """"file:line: rule" of every include line that breaks a rule."""
    allowed = read_layers(os.path.join(root, "docs/layers.txt"))
    found = []
    for path in source_files(root):
        with open(os.path.join(root, path), encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                match = INCLUDE.match(line)
                if not match:
                    continue
                quoted, included = match.group(1) == '"', match.group(2)
                for rule in complain_of_line(path, included, quoted, allowed):
                    found.append(f'{path}:{number}: "{included}": {rule}')
    return found


class TheTree(unittest.TestCase):
    source_dir = None

    def test_keeps_its_layers(self):
        found = violations(self.source_dir)
        if found:
            self.fail("\n" + "\n".join(found))

    def test_has_files_in_every_top_directory(self):
        tops = {path.split("/")[0] for path in source_files(self.source_dir)}
        self.assertEqual(tops, set(TOPS))

    def test_chains_have_no_cycle(self):
        allowed = read_layers(os.path.join(self.source_dir, "docs/layers.txt"))
        done, path = set(), []

        def visit(directory):
            self.assertNotIn(directory, path, "cycle in docs/layers.txt")
            if directory in done:
                return
            path.append(directory)
            for key in allowed:
                if key != directory and any(
                        covers(one, key) for one in allowed.get(directory, ())):
                    visit(key)
            path.pop()
            done.add(directory)

        for directory in allowed:
            visit(directory)


class MadeUpTrees(unittest.TestCase):
    """Each rule, broken once."""

    LAYERS = """
        chain server/shard server/table  # in data-path order
        server/shard: common proto
        server/table: common
        common/base:
        client/include/paramo:
        worker/step: client/include/paramo common
    """

    def complaints(self, path, line):
        with tempfile.TemporaryDirectory() as root:
            for name, text in (("docs/layers.txt", self.LAYERS),
                               (path, f"// comment\n{line}\n")):
                full = os.path.join(root, name)
                os.makedirs(os.path.dirname(full), exist_ok=True)
                with open(full, "w", encoding="utf-8") as out:
                    out.write(text)
            return violations(root)

    def expect_refused(self, path, line, text):
        found = self.complaints(path, line)
        self.assertEqual(len(found), 1, found)
        self.assertTrue(found[0].startswith(f"{path}:2: "), found)
        self.assertIn(text, found[0])

    def expect_allowed(self, path, line):
        self.assertEqual(self.complaints(path, line), [])

    def test_down_is_allowed_and_up_refused(self):
        self.expect_allowed("server/shard/a.cc", '#include "server/table/b.h"')
        self.expect_allowed("server/table/a.h", '#include "common/base/b.h"')
        self.expect_allowed("server/table/a.h", '#include "server/table/b.h"')
        self.expect_refused("server/table/a.cc", '#include "server/shard/b.h"',
                            "server/table may not include server/shard")
        self.expect_refused("common/base/a.h", '#include "server/table/b.h"',
                            "common/base may not include server/table")

    def test_server_never_includes_worker_or_client(self):
        for line in ('#include "worker/step/a.h"', '#include "paramo/a.h"'):
            self.expect_refused("server/shard/a.cc", line, "may not include")
            self.expect_refused("server/server.cc", line, "may not include")

    def test_composition_roots_are_free_below_their_top(self):
        self.expect_allowed("server/table/x_main.cc",
                            '#include "server/shard/b.h"')
        self.expect_allowed("worker/worker.cc", '#include "paramo/cluster.h"')

    def test_generated_code_stays_out_of_headers(self):
        line = '#include "paramo/v1/data.pb.h"'
        self.expect_allowed("server/shard/a.cc", line)
        self.expect_allowed("server/shard/a_internal.h", line)
        self.expect_refused("server/shard/a.h", line, "headers show nothing")
        self.expect_refused("server/table/a.cc", line, "may not include proto")

    def test_heavy_libraries_stay_out_of_headers(self):
        for header in ("grpcpp/grpcpp.h", "grpc/grpc.h", "rocksdb/db.h",
                       "google/protobuf/message.h"):
            self.expect_refused("server/table/a.h", f"#include <{header}>",
                                "headers show nothing")
            self.expect_allowed("server/table/a.cc", f"#include <{header}>")

    def test_installed_headers_are_free_of_abseil(self):
        self.expect_allowed("client/include/paramo/a.h",
                            '#include "paramo/b.h"')
        self.expect_refused("client/include/paramo/a.h",
                            '#include "absl/status/status.h"', "installed")
        self.expect_refused("client/include/paramo/a.h",
                            '#include "common/base/ids.h"', "may not include")

    def test_internal_headers_stay_at_home(self):
        line = '#include "server/table/b_internal.h"'
        self.expect_allowed("server/table/a.cc", line)
        self.expect_refused("server/shard/a.cc", line, "server/table alone")

    def test_unknown_directories_and_short_paths_are_refused(self):
        self.expect_refused("server/new/a.cc", '#include "common/base/b.h"',
                            "no line in docs/layers.txt")
        self.expect_refused("server/table/a.cc", '#include "b.h"',
                            "repository root")


if __name__ == "__main__":
    TheTree.source_dir = sys.argv.pop(1)
    unittest.main()
