"""torch.compile for pieces of the step: tensors in, tensors out, no branch on a value.

The whole step can't be compiled: it takes lists of prompts, and its shapes change with every batch. A piece is the
inside of an autograd.Function, forward or backward. It is compiled without gradients, for any number of rows.
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
"""torch's own backend: kernels in C++ on a CPU, in Triton on a GPU."""

Piece = TypeVar("Piece", bound=Callable[..., tuple[Tensor, ...]])


def compiled_piece(function: Piece, backend: str | None) -> Piece:
    """The function, compiled by the backend if there is one."""
    return function if backend is None else cast(Piece, _compiled(function, backend))


def backend_of(compile: bool) -> str | None:
    """The backend of `engine.compile`.

    Raises:
        ConfigError: this machine has no C++ compiler, which torch.compile needs on any device.
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
    """Compile for detached tensors only: dynamo would compile again for tensors with gradients, up to eight times.

    None stands for a bias that an architecture lacks.
    """
    compiled = torch.compile(function, backend=backend, dynamic=True)
    return lambda *tensors: compiled(*(None if tensor is None else tensor.detach() for tensor in tensors))
