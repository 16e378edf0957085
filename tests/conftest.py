"""Small tensors are slower on many threads than on one; and a mistake should show before the slow tests begin."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_torch_thread():
    """For the tests themselves; those that start processes leave theirs alone."""
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put slow tests last; the sort is stable, so all else keeps its order."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)
