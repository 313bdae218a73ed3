#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""lint.py: the tree's own rules. lint.py --format: the format. lint.py --analyse: static analysers.

Prints FILE:LINE: what is wrong, one a line; exit status 1 if anything is, 77 (skipped) where a tool is absent.
"""
import os
import re
import shutil
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Folders of src/ in dependency order: a file includes headers of its own folder and of lower ranks only. The image comes
# in at the bottom, the boxes come out at the top; docs/architecture.md walks through them.
RANK = {"base": 0, "image": 1, "graph": 1, "preprocess": 2, "kernels": 2, "model": 2, "postprocess": 2, "export": 2,
        "cuda": 3, "plan": 4, "exec": 5, "quant": 6, "api": 7}
# Programs stand on the public header: beside their own headers they see only these folders' headers.
PROGRAMS = {"cli": ["draw", "serve", "common"], "common": [], "draw": ["common"], "serve": ["draw", "common"], "triton": [],
            "examples": [], "bench": []}
ENVIRONMENT = {"src/base/env.c", "cli/environment.c"}
LONGEST = 800

CODE = (".c", ".h", ".cu", ".cuh", ".py", ".sh")
C_CODE = (".c", ".h", ".cu", ".cuh")
# Joined from pieces so that this file passes its own rules.
MARK = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b")
MACHINE = re.compile(r"(?<![\w.])/(" + "|".join(("ro" + "ot", "wo" + "rk", "ho" + "me", "Us" + "ers")) + r")/\w")
OUTSIDE = re.compile(r"\.\./" + "sha" + "red")
ORACLE = re.compile(r"environ(\.get\(|\[).CFINE_(ORACLE|SHARED)")
REGISTRY = re.compile("|".join(("pypi" + r"\.org", "deb" + r"\.debian\.org", "archive" + r"\.ubuntu\.com",
                                "pythonhosted" + r"\.org", "crates" + r"\.io", "npmjs" + r"\.(org|com)")))
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
GETENV = re.compile(r"\b(secure_)?getenv\s*\(|\benviron\b")
PRINTS = re.compile(r"(?<![\w.>])(printf|vprintf|puts|putchar|perror|exit|_exit|abort|assert)\s*\(|\b(stdout|stderr)\b")
ALLOCATES = re.compile(r"(?<![\w.>])(malloc|calloc|realloc|free|strdup|aligned_alloc|posix_memalign)\s*\(")
BACKEND = re.compile(r"^\s*#\s*(if|ifdef|ifndef|elif)\b.*(__AVX|__AMX|__SSE|__x86_64__|__aarch64__|__ARM|__CUDA_ARCH)")

findings = 0


def say(path, line, text):
    global findings
    findings += 1
    print(f"{path}:{line}: {text}")


def tracked():
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=TOP,
                            capture_output=True)
    if listed.returncode == 0:
        return sorted(path for path in listed.stdout.decode().split("\0")
                      if path and os.path.isfile(os.path.join(TOP, path)))
    found = []  # a source archive, without git
    for folder, folders, files in os.walk(TOP):
        folders[:] = [f for f in folders if f not in ("build", "out", ".git", "__pycache__")]
        found += [os.path.relpath(os.path.join(folder, f), TOP) for f in files]
    return sorted(found)


def without_strings_and_comments(line):
    line = re.sub(r'"(\\.|[^"\\])*"', '""', line)
    return re.sub(r"//.*|/\*.*?\*/", "", line)


def check_include(path, number, header):
    parts, target = path.split("/"), header.split("/")
    if header == "cfine/cfine.h":
        return
    if parts[0] == "src":
        if target[0] not in RANK:
            say(path, number, f'"{header}": src/ includes only headers below src/, by their path from there')
        elif target[0] != parts[1] and RANK[target[0]] >= RANK.get(parts[1], -1):
            say(path, number, f'"{header}": {parts[1]}/ stands below or beside {target[0]}/ (the order is in scripts/lint.py)')
    elif parts[0] in PROGRAMS:
        own = any(os.path.isfile(os.path.join(TOP, folder, header)) for folder in
                  [os.path.dirname(path), parts[0], "."] + PROGRAMS[parts[0]]
                  + [entry.path for entry in os.scandir(os.path.join(TOP, parts[0])) if entry.is_dir()])
        if not own or target[0] in ("src", *RANK):
            say(path, number, f'"{header}": {parts[0]}/ uses the public header <cfine/cfine.h> and its own')


def check_head(path, lines):
    start = 1 if lines and lines[0].startswith("#!") else 0
    mark = "//" if path.endswith(C_CODE) else "#"
    if len(lines) <= start or lines[start] != f"{mark} SPDX-License-Identifier: Apache-2.0":
        say(path, start + 1, "the head lacks its SPDX line")
    elif path.endswith(".h") and not (len(lines) > start + 1 and lines[start + 1].startswith(mark)):
        say(path, start + 2, "the head does not say what the file is")


def check_file(path):
    with open(os.path.join(TOP, path), "rb") as file:
        data = file.read()
    if b"\0" in data:
        return
    lines = data.decode(errors="replace").splitlines()
    code, in_c = path.endswith(CODE), path.endswith(C_CODE)
    library = path.startswith("src/") and in_c
    if code:
        check_head(path, lines)
        if len(lines) > LONGEST:
            say(path, LONGEST + 1, f"{len(lines)} lines; a file has one idea and at most {LONGEST}")
    for number, line in enumerate(lines, 1):
        if MARK.search(line):
            say(path, number, "a mark of unfinished work: finish it or write an issue")
        if MACHINE.search(line) or REGISTRY.search(line):
            say(path, number, "names a path or a host of one machine")
        if OUTSIDE.search(line) and not path.startswith("tests/"):
            say(path, number, "reaches outside of the checkout")
        if ORACLE.search(line) and path != "tests/oracle.py" and not path.startswith("scripts/"):
            say(path, number, "looks for the oracle itself; tests/oracle.py does that")
        if not in_c:
            continue
        include = INCLUDE.match(line)
        if include:
            check_include(path, number, include.group(1))
        plain = without_strings_and_comments(line)
        if GETENV.search(plain) and path not in ENVIRONMENT and not path.startswith("tests/"):
            say(path, number, "reads the environment; only " + " and ".join(sorted(ENVIRONMENT)) + " do")
        if library and PRINTS.search(plain):
            say(path, number, "the library prints nothing and never exits")
        if library and ALLOCATES.search(plain) and path != "src/base/memory.c":
            say(path, number, "memory comes from cf_alloc and cf_free (base/memory.h)")
        if library and BACKEND.match(line) and not re.match(r"src/(base|kernels|cuda)/|.*_kernels\.c$", path):
            say(path, number, "asks for a backend above the kernels")


def check_rules():
    names = {}
    for path in tracked():
        check_file(path)
        if path.endswith((".c", ".h")) and not path.endswith("/main.c"):
            names.setdefault(os.path.basename(path), []).append(path)
    for name, paths in sorted(names.items()):
        if len(paths) > 1:
            say(paths[1], 1, f"another file has this name: {paths[0]}")


def skip(text):
    print(f"skipped: {text}")
    sys.exit(77)


def check_format():
    tool = next((t for t in ("clang-format-14", "clang-format") if shutil.which(t) and
                 "version 14." in subprocess.run([t, "--version"], capture_output=True, text=True).stdout), None)
    if not tool:
        skip("clang-format 14 is not here (other versions format differently)")
    files = [path for path in tracked() if path.endswith(C_CODE)]
    result = subprocess.run([tool, "--dry-run", "--ferror-limit=1"] + files, cwd=TOP, capture_output=True, text=True)
    for path, line in dict(re.findall(r"^([^:\s]+):(\d+):\d+: ", result.stderr, re.M)).items():
        say(path, line, "not formatted; run: make format")
    if result.returncode and not findings:
        say(".clang-format", 1, result.stderr.strip())


def check_analysers():
    global findings
    if not shutil.which("cppcheck"):
        skip("cppcheck is not here")
    build = os.path.join(TOP, "build", "cppcheck")
    os.makedirs(build, exist_ok=True)
    folders = [folder for folder in ("src", "cli", "common", "draw", "serve", "triton", "examples")
               if os.path.isdir(os.path.join(TOP, folder))]
    result = subprocess.run(
        ["cppcheck", "--quiet", "--std=c11", "--language=c", "--enable=warning,performance,portability",
         "--inline-suppr", "--error-exitcode=1", "--suppressions-list=scripts/cppcheck.txt",
         f"--cppcheck-build-dir={build}", f"-j{len(os.sched_getaffinity(0))}", "-I.", "-Iinclude", "-Isrc", "-D__GNUC__=12",
         "-D__x86_64__=1", "--template={file}:{line}: {message} [{id}]"] + folders, cwd=TOP)
    findings += result.returncode


def main():
    checks = {(): check_rules, ("--format",): check_format, ("--analyse",): check_analysers}
    if tuple(sys.argv[1:]) not in checks:
        sys.exit(__doc__)
    checks[tuple(sys.argv[1:])]()
    if findings:
        sys.exit(1)
    print("nothing found")


main()
