"""Long audio through a model in windows: each hears more on either side than is kept, so that the seams don't show.

S samples   T frames   D features a frame
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Window:
    """How a model's frames lie on its samples, and how many it is asked for at once."""

    hop: int  # samples from one frame to the next
    field: int  # samples of the first frame: S samples give 1 + (S - field) // hop frames
    kept: int  # frames kept of a window
    overlap: int  # frames heard on either side besides

    def count(self, samples: int) -> int:
        """The frames of so many samples, at least those of one frame."""
        return 1 + (samples - self.field) // self.hop


def in_windows(audio: Tensor, frames: Callable[[Tensor], Tensor], window: Window) -> Tensor:
    """The frames of all audio, (S,) to (T, D); audio of no more frames than one window keeps goes through whole.

    A frame that depends on no more than `overlap` frames on either side is what it would be without windows.
    """
    import torch

    count = window.count(len(audio))
    if count <= window.kept:
        return frames(audio)
    found = []
    for start in range(0, count, window.kept):
        end = min(start + window.kept, count)
        first, last = max(0, start - window.overlap), min(end + window.overlap, count)
        rest = len(audio) if last == count else (last - 1) * window.hop + window.field
        heard = frames(audio[first * window.hop : rest])
        found.append(heard[start - first : end - first])
    return torch.cat(found)
