"""Check this machine for a search, one line per part, with the next step for a missing part; 1 if one is.

With cluster.address=auto every node of the running Ray cluster is checked as well: its program and versions, memory,
open files, clock, and whether it sees and may write to `runs`.
"""

import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path

import torch

from sp_search.cli.advice.node_findings import Finding, node_findings, room_finding
from sp_search.cli.wiring.factories import own_device
from sp_search.cli.wiring.ray_settings import joined
from sp_search.config import Settings
from sp_search.engine.runtime.device import matrix_rate
from sp_search.errors import ConfigError
from sp_search.files.paths import check_writable, is_there
from sp_search.search.cluster.checkup import checkups, own_checkup
from sp_search.search.cluster.nodes import Share, nodes

READS = ("runs", "cache", "cluster", "engine.device")
EXAMPLE = "sp-search doctor"

PACKAGES = ("torch", "ve-fairseq", "ray", "optuna", "mlflow", "hydra-core", "numpy")
FREE_BYTES = 10**9  # below it a study's database or an imported LM may not fit
SAME_ON_NODES = ("sp-search", *PACKAGES)


def run(config: Settings) -> int:
    """Print every finding; 1 if one of them has a next step."""
    missing = False
    for part, found, next_step in findings(config):
        missing |= bool(next_step)
        print(f"{'!!' if next_step else 'ok'} {part:<10} {found}{next_step and '; ' + next_step}", flush=True)
    return int(missing)


def findings(config: Settings) -> Iterator[Finding]:
    """Check one part after the other. The import of fairseq and the matrix rates take seconds."""
    yield "python", f"{platform.python_version()} at {sys.executable}", ""
    yield from map(_package, PACKAGES)
    yield _fairseq_imports()
    yield from _torchaudio_beside_transformers()
    yield _device(config)
    yield _disk("runs", config.runs)
    yield _disk("cache", config.cache)
    assets = files("sp_search.demo") / "assets"
    built = assets.is_dir() and any(assets.iterdir())
    yield ("demo", "built", "") if built else ("demo", "not built", "build corpus and unit LM with: make demo-assets")
    if config.cluster.address is not None:
        yield from _cluster(config)


def _cluster(config: Settings) -> Iterator[Finding]:
    """Every node of the cluster that the settings name, and what a search would have of it."""
    check_writable(config.runs, "runs")
    try:
        with joined(config) as sized:
            there, cluster = nodes(None), sized.cluster
            yield from node_findings(checkups(there, config.runs, SAME_ON_NODES), own_checkup(SAME_ON_NODES))
            each = Share(cluster.workers or 0, cluster.cpus_per_worker or 0.0, cluster.gpus_per_worker or 0.0)
            yield room_finding(each, len(there))
    except ConfigError as error:
        yield "cluster", str(error), "join a cluster that runs, or ask for less of it"


def _package(name: str) -> Finding:
    try:
        return name, version(name), ""
    except PackageNotFoundError:
        return name, "not installed", "install it with: make setup"


def _fairseq_imports() -> Finding:
    """Try the import in another process, because fairseq leaves registries and settings behind."""
    tried = subprocess.run([sys.executable, "-c", "import fairseq"], capture_output=True, text=True, check=False)
    said = tried.stderr.strip().rpartition("\n")[2]
    return ("fairseq", said, "try: make setup") if tried.returncode else ("fairseq", "imports", "")


def _torchaudio_beside_transformers() -> Iterator[Finding]:
    """A torchaudio that can't be loaded, with what it stops; nothing where there is none or it loads."""
    try:
        found = version("torchaudio")
    except PackageNotFoundError:
        return
    tried = subprocess.run([sys.executable, "-c", "import torchaudio"], capture_output=True, text=True, check=False)
    if not tried.returncode:
        return
    beside = f"{found} can't be loaded with torch {version('torch')}; sp-search does not need it"
    try:
        version("transformers")
    except PackageNotFoundError:
        yield "torchaudio", beside, ""
    else:
        mend = "pip uninstall torchaudio, or install the build of it that belongs to this torch"
        yield "torchaudio", f"{beside}, but `import transformers` fails with it", mend


def _device(config: Settings) -> Finding:
    try:
        device = torch.device(own_device(config))
    except ConfigError as error:
        return "device", str(error), "say engine.device=auto, or install a torch and a driver for this machine's GPU"
    what = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    rates = (f"{name} {matrix_rate(getattr(torch, name), device) / 1e9:.0f}" for name in ("float32", "bfloat16"))
    return "device", f"{device}, {what}; GFLOP/s in matrix products: {', '.join(rates)}", ""


def _disk(part: str, folder: Path) -> Finding:
    try:
        there = next(at for at in (folder, *folder.parents) if is_there(at))
    except ConfigError as error:
        return part, str(error), f"choose another folder with {part}=PATH"
    free = shutil.disk_usage(there).free
    short = f"expected {FREE_BYTES / 1e9:.0f} GB or more; choose another disk with {part}=PATH"
    return part, f"{folder}, {free / 1e9:.1f} GB free", "" if free >= FREE_BYTES else short
