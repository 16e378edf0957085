"""Virtual environments for tests of what is installed: made in a second, with the packages of this environment."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path


def new_environment(folder: Path) -> Path:
    """An environment that has every dependency of this one, but not sp_search; returns its Python.

    A line in a .pth file adds this environment's packages to its path. The .pth files among them are not read there,
    and so the link to this checkout that `pip install --editable` made has no effect.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return folder / "bin" / "python"


def clean_environment(python: Path, home: Path) -> dict[str, str]:
    """Variables for a shell in which that environment is active, and nothing else is known of this checkout."""
    return {
        **{name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")},
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "VIRTUAL_ENV": str(python.parents[1]),
        "XDG_CACHE_HOME": str(home),
    }
