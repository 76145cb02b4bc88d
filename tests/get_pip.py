"""Stands in for pip's bootstrap script: pip from ensurepip, then the wanted version from the package index."""
from __future__ import annotations

import subprocess
import sys

# In a process of its own: ensurepip changes the environment of the one that it runs in.
subprocess.check_call([sys.executable, "-m", "ensurepip"])
arguments = [one for one in sys.argv[1:] if one not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "pip", "install", *arguments])
