# SPDX-License-Identifier: Apache-2.0
"""tools/tidy against small trees: a clean one passes, and each rule finds its own breach."""
import pathlib
import subprocess

import pytest

TIDY = pathlib.Path(__file__).resolve().parents[2] / "tools" / "tidy"

HEADER = "/* internal: what the room offers, in one line */\n" + "int net_x(void);\n" * 20
SOURCE = '#include "net/x.h"\n#include "base/seg.h"\n#include "sluice/version.h"\n\n' \
         "static int net_count(void)\n{\n\treturn 1;\n}\n"


def write(root, path, text):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def tidy(root):
    done = subprocess.run(["/usr/bin/python3", TIDY, root], capture_output=True, text=True, timeout=30)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()[:-1]


@pytest.fixture
def tree(tmp_path):
    write(tmp_path, "src/net/x.h", HEADER)
    write(tmp_path, "src/net/x.c", SOURCE)
    return tmp_path


def test_a_clean_tree_passes(tree):
    assert tidy(tree) == (0, [])


LONG_FUNCTION = "int net_long(void)\n{\n" + "\tnet_x();\n" * 69 + "}\n"
FULL_FUNCTION = "int net_full(void)\n{\n" + "\tnet_x();\n" * 68 + "}\n"

BREACHES = {
    "room order": ("src/net/y.c", '#include "http/stream.h"\n', "room net includes room http"),
    "relative include": ("src/net/y.c", '#include "y.h"\n', '"y.h" names no room'),
    "public header includes a room": (
        "include/sluice/y.h", HEADER.replace("internal", "public") + '#include "net/x.h"\n',
        "a public header includes"),
    "header without first line": ("src/net/y.h", "\n" + HEADER, "the first line says"),
    "header that offers nothing": ("src/net/y.h", "/* internal: */\n" + "int y;\n" * 30,
                                   "the first line says"),
    "public header in a room": ("src/net/y.h", HEADER.replace("internal", "public"),
                                "public headers, and no others"),
    "internal header among the public": ("include/sluice/y.h", HEADER, "public headers, and no others"),
    "short header": ("src/net/y.h", HEADER[:HEADER.index("\n") + 1] + "int y;\n" * 18,
                     "a header of 19 lines"),
    "long header": ("src/net/y.h", HEADER + "int y;\n" * 130, "a header of 151 lines"),
    "long function": ("src/net/y.c", LONG_FUNCTION, "net_long() has 71 lines"),
    "long file": ("src/net/y.c", "int y;\n" * 801, "a file of 801 lines"),
    "long test": ("test/unit/net/test_y.c", "int y;\n" * 801, "a file of 801 lines"),
    "bare malloc": ("src/net/y.c", "int net_y(void)\n{\n\treturn !malloc(3);\n}\n",
                    "malloc() in net_y()"),
    "bare free": ("src/net/y.c", "void net_y(char *p,\n\t   int n)\n{\n\tfree(p);\n}\n",
                  "free() in net_y()"),
    "allocator without a reason": ("tools/allocators.txt", "src/net/x.c\n", "may allocate, but why?"),
    "allocator that allocates nothing": ("tools/allocators.txt", "src/net/x.c at start\n",
                                         "allocates nothing"),
    "typedef": ("src/net/y.c", "typedef struct net_y net_y_t;\n", "a typedef hides"),
    "todo": ("src/net/y.c", "/* TODO */\n", "TODO: do it"),
    "todo with a word": ("src/net/y.c", "/* TODO: later */\n", "TODO: do it"),
    "fixme": ("test/e2e/test_y.py", "# FIXME: a long reason that explains nothing\n", "FIXME: do it"),
    "white space": ("src/net/y.c", "int y; \n", "white space at the end"),
    "dead link": ("docs/y.md", "see [there](nowhere.md#part)\n", "a link to nowhere.md"),
}


@pytest.mark.parametrize("name", BREACHES)
def test_each_breach_is_found(tree, name):
    path, text, expected = BREACHES[name]
    write(tree, path, text)
    code, lines = tidy(tree)
    assert code == 1
    assert any(expected in line and line.startswith(path + ":") for line in lines), lines


FINE = {
    "todo with a reason": ("src/net/y.c", "/* TODO: waits for liburing 2.5 in Debian */\n"),
    "names that only look like malloc": (
        "src/net/y.c", "int net_y(void)\n{\n\tslab_free(p); o->free(p);\n\treturn 0; /* free(p) */\n}\n"),
    "malloc in a string": ("src/net/y.c", 'const char *y = "malloc(3)";\n'),
    "malloc outside of src": ("test/unit/net/test_y.c", "int y(void)\n{\n\tfree(malloc(1));\n}\n"),
    "a function at the limit": ("src/net/y.c", FULL_FUNCTION),
    "a file at the limit": ("src/net/y.c", "int y;\n" * 800),
    "a header at the limit": ("src/net/y.h", HEADER + "int y;\n" * 129),
    "a list of tests": ("test/unit/net/test_y.c", LONG_FUNCTION.replace("net_long", "main")),
    "links out and within": ("docs/y.md", "[a](https://sluice.example/) [b](#part) [c](../src/net/x.h)\n"),
    "seeds are not text": ("test/fuzz/corpus/y/bad.c", "/* TODO */ \n"),
}


@pytest.mark.parametrize("name", FINE)
def test_what_is_allowed_passes(tree, name):
    path, text = FINE[name]
    write(tree, path, text)
    assert tidy(tree) == (0, [])


def test_allocators_by_folder_file_and_function(tree):
    body = "int net_y(void)\n{\n\treturn !malloc(3);\n}\n"
    write(tree, "src/net/y.c", body)
    for name in ("src/net/", "src/net/y.c", "src/net/y.c:net_y"):
        write(tree, "tools/allocators.txt", f"{name} only at start\n")
        assert tidy(tree) == (0, [])
    write(tree, "tools/allocators.txt", "src/net/y.c:net_z only at start\n")
    assert tidy(tree)[0] == 1
