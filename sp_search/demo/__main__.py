"""`python -m sp_search.demo [FOLDER]`: build the demo's assets, by default those in the package."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path

from sp_search.demo.build import DEMO, build
from sp_search.host import cores


def main(folder: Path) -> None:
    """Build beside the folder, then put the result in its place: a build that is cut off leaves the old assets."""
    began = time.perf_counter()

    def tell(line: str) -> None:
        print(f"{time.perf_counter() - began:6.0f} s  {line}", flush=True)

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        new = Path(place) / "assets"
        meta = build(new, DEMO, cores(), tell)
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    tell(f"rivals {meta['rivals']}, unit LM perplexity {meta['unit_lm_perplexity']}")
    print(folder)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")  # fairseq's, torch copes
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "assets")
