"""Pieces of the step that torch.compile may take over: tensors in, tensors out, no branch on a value.

Dynamo stops inside the step as a whole, which takes lists of prompts and changes its shapes with every batch. A piece
is the inside of an autograd.Function, forward or backward: compiled without a gradient, for any number of rows.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import cache
from typing import TypeVar, cast

import torch
from torch import Tensor

from sp_search.errors import ConfigError

BACKEND = "inductor"
"""torch's own: kernels in C++ on a CPU, in Triton on a GPU."""

Piece = TypeVar("Piece", bound=Callable[..., tuple[Tensor, ...]])


def compiled_piece(function: Piece, backend: str | None) -> Piece:
    """The function as it is written, or through a backend of torch.compile."""
    return function if backend is None else cast(Piece, _compiled(function, backend))


def backend_asked_for(compile: bool) -> str | None:
    """The backend of `engine.compile`.

    Raises:
        ConfigError: it is asked for on a machine without a C++ compiler, which torch.compile needs on any device.
    """
    compiler = os.environ.get("CXX", "g++")
    if compile and shutil.which(compiler) is None:
        raise ConfigError(
            f"engine.compile: expected a C++ compiler on a worker's machine, found no {compiler}; install it, name "
            f"another in CXX, or set engine.compile=false"
        )
    return BACKEND if compile else None


@cache
def _compiled(function: Callable[..., tuple[Tensor, ...]], backend: str) -> Callable[..., tuple[Tensor, ...]]:
    """Detached, for dynamo compiles anew where a tensor has a gradient that before had none, eight times at most."""
    compiled = torch.compile(function, backend=backend, dynamic=True)
    return lambda *tensors: compiled(*(tensor.detach() for tensor in tensors))
