"""`python -m sp_search.demo [--data] [FOLDER]`: build the demo's assets, by default those in the package."""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
import warnings
from pathlib import Path

from sp_search.demo.build import DEMO, build, build_data
from sp_search.host import cores


def main(folder: Path, *, only_data: bool) -> None:
    """Build beside the folder, then put the result in its place: a build that is cut off leaves the old assets."""
    began = time.perf_counter()

    def tell(line: str) -> None:
        print(f"{time.perf_counter() - began:6.0f} s  {line}", flush=True)

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        new = Path(place) / "assets"
        if only_data:
            shutil.copytree(folder, new)
        meta = (build_data if only_data else build)(new, DEMO, cores(), tell)
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    tell(f"rivals {meta['rivals']}, unit LM perplexity {meta['unit_lm_perplexity']}")
    print(folder)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")  # fairseq's, torch copes
    parser = argparse.ArgumentParser(prog="python -m sp_search.demo", description="Build the demo's assets.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent / "assets")
    parser.add_argument(
        "--data", action="store_true", help="build the corpus alone, with the folder's own units and LM"
    )
    words = parser.parse_args()
    main(words.folder, only_data=words.data)
