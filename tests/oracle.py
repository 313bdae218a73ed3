# SPDX-License-Identifier: Apache-2.0
"""What tests compare with, found in one place; a test that lacks it is skipped, never failed.

    CFINE_ORACLE  a Python environment with the reference implementation, other engines and clients: PyTorch,
                  transformers, pycocotools, ONNX Runtime, OpenVINO, tritonclient (default ~/.cache/cfine-oracle)
    CFINE_SHARED  a folder with the reference's scripts, photographs and trained weights (default: shared beside the
                  checkout)
"""
import importlib.util
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SHARED = os.path.normpath(os.environ.get("CFINE_SHARED") or os.path.join(HERE, "..", "..", "shared"))
PYTHON = os.path.join(os.environ.get("CFINE_ORACLE") or os.path.expanduser("~/.cache/cfine-oracle"), "bin", "python")
# Run by either Python: exit status 0 if it has all the modules, without the seconds that importing them takes.
HAS = """import importlib.util, sys
sys.exit(any(importlib.util.find_spec(name) is None for name in sys.argv[1:]))"""


def shared(*names):
    """A path in the shared folder, whether or not it is there."""
    return os.path.join(SHARED, *names)


def skip(why):
    print("skipped: " + why)
    sys.exit(77)


def here_has(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # of a package around it
        return False


def python_with(*modules):
    """This Python or the oracle's, whichever has all the modules; None if neither has."""
    if all(here_has(module) for module in modules):
        return sys.executable
    try:
        return None if subprocess.run([PYTHON, "-c", HAS, *modules], capture_output=True).returncode else PYTHON
    except OSError:  # not there, or nothing that runs
        return None


def need(*modules):
    """To be called before the modules are imported: goes on in the oracle's Python if this one lacks them."""
    python = python_with(*modules)
    if not python:
        skip("no Python with %s (CFINE_ORACLE)" % ", ".join(modules))
    if python != sys.executable:
        sys.stdout.flush()
        os.execv(python, [python] + sys.argv)
