#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""run_tests.py PRESET [ctest arguments]: runs ctest, then says what was skipped and why, and counts.

The last line is "N passed, N failed, N skipped", each ctest test counted once; a test that did not run is not passed.
Exit status 1 if one failed or none ran.
"""
import os
import subprocess
import sys
import xml.etree.ElementTree as xml


def reason(case):
    """The last line that a skipped test printed."""
    lines = (case.findtext("system-out") or "").strip().splitlines()
    return lines[-1].removeprefix("skipped:").strip() if lines else "no reason given"


def count(report):
    passed, failed, skipped = [], [], []
    for case in xml.parse(report).getroot().iter("testcase"):
        status = case.get("status")
        if status == "run" and case.find("failure") is None and case.find("skipped") is None:
            passed.append(case)
        elif status == "disabled" or (status == "notrun" and case.find("skipped") is not None and
                                      case.find("skipped").get("message", "").startswith("SKIP")):
            skipped.append(case)
        else:
            failed.append(case)
    return passed, failed, skipped


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    preset, arguments = sys.argv[1], sys.argv[2:]
    report = os.path.abspath(os.path.join("build", preset, "tests.xml"))
    if os.path.exists(report):
        os.unlink(report)
    jobs = str(len(os.sched_getaffinity(0)))
    ran = subprocess.run(["ctest", "--preset", preset, "-j", jobs, "--output-junit", report] + arguments,
                         stdin=subprocess.DEVNULL)
    passed, failed, skipped = count(report) if os.path.exists(report) else ([], [], [])
    for case in skipped:
        print(f"skipped: {case.get('name')}: {reason(case)}")
    for case in failed:
        print(f"failed: {case.get('name')}")
    if not passed and not failed:
        print("no test ran", file=sys.stderr)
    sys.stderr.flush()
    print(f"{len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped", flush=True)
    sys.exit(1 if failed or not passed or (ran.returncode and not failed) else 0)


main()
