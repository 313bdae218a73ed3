#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tests/oracle.py: whatever is wrong with the Python environment that it looks for, a test is skipped and says why."""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def needs(module, environment):
    """Exit status and last line of a test that needs a module."""
    done = subprocess.run([sys.executable, "-c", "import oracle; oracle.need('%s'); print('ran')" % module], cwd=HERE,
                          env=dict(os.environ, CFINE_ORACLE=environment), capture_output=True, text=True)
    return done.returncode, (done.stdout + done.stderr).strip()


def main():
    with tempfile.TemporaryDirectory() as folder:
        def environment(name):
            os.makedirs("%s/%s/bin" % (folder, name))
            return "%s/%s/bin/python" % (folder, name)
        environment("empty")
        os.symlink("/nowhere/python", environment("broken"))
        os.mkdir(environment("folder"))
        open(environment("data"), "w").close()
        with open(environment("failing"), "w") as f:
            f.write("#!/bin/sh\nexit 3\n")
        os.chmod(f.name, 0o755)
        for name in ("none", "empty", "broken", "folder", "data", "failing"):
            status, said = needs("no_such_module.part", os.path.join(folder, name))
            assert status == 77 and said == "skipped: no Python with no_such_module.part (CFINE_ORACLE)", (name, status, said)
        assert needs("json.decoder", os.path.join(folder, "none")) == (0, "ran")
        # What this Python lacks and that one has: the test goes on there.
        with open(environment("other"), "w") as f:
            f.write("#!/bin/sh\nPYTHONPATH=%s exec %s \"$@\"\n" % (folder, sys.executable))
        os.chmod(f.name, 0o755)
        open(folder + "/module_of_the_other.py", "w").close()
        os.mkdir(folder + "/tests")  # beside the module it would be found without that Python
        with open(folder + "/tests/test.py", "w") as f:
            f.write("import sys; sys.path.insert(0, %r)\nimport oracle\noracle.need('module_of_the_other')\n"
                    "import module_of_the_other\nprint('ran')\n" % HERE)
        done = subprocess.run([sys.executable, f.name], env=dict(os.environ, CFINE_ORACLE=folder + "/other"),
                              capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "ran\n"), done


main()
