"""The group norm of HuBERT's and wav2vec 2.0's first convolution, which is over all of an utterance, when it is cut.

Each channel is brought to mean 0 and variance 1 over time. In a window alone the figures would be the window's own,
and a loud passage elsewhere would no longer count.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

PIECE = 65_536
"""Frames of the first convolution, 5 samples each, that are held at once."""


@contextmanager
def normed_over_all(extractor: Any, audio: Tensor) -> Iterator[None]:
    """While open, fairseq's feature extractor norms any window as it would all of this audio, (S,).

    An extractor that norms each frame by itself is left as it is.
    """
    from torch import nn

    block = extractor.conv_layers[0]
    norm = block[2]
    if not isinstance(norm, nn.GroupNorm):
        yield
        return
    fixed = nn.BatchNorm1d(norm.num_channels, norm.eps, device=audio.device).eval()
    fixed.weight, fixed.bias = norm.weight, norm.bias
    fixed.running_mean, fixed.running_var = _moments(block[0], audio)
    block[2] = fixed
    try:
        yield
    finally:
        block[2] = norm


def _moments(convolution: Any, audio: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel of a convolution over all of the audio, summed in float64."""
    (width,), (hop,) = convolution.kernel_size, convolution.stride
    count = 1 + (len(audio) - width) // hop
    total, squares = 0.0, 0.0
    for start in range(0, count, PIECE):
        end = min(start + PIECE, count)
        heard = audio[start * hop : (end - 1) * hop + width]
        values = convolution(heard[None, None])[0].double()  # (channels, frames)
        total, squares = total + values.sum(dim=1), squares + values.square().sum(dim=1)
    mean: Any = total / count
    variance: Any = squares / count - mean.square()
    return mean.float(), variance.float()
