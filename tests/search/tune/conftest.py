import pytest

from tests.search.tune.searching import Search


@pytest.fixture
def search(tmp_path):
    return Search(tmp_path)
