"""Small tensors are slower on many threads than on one; tests that start processes leave theirs alone."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_torch_thread():
    torch.set_num_threads(1)
