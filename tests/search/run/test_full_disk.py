"""A disk that fills up ends a search, and no trial for it."""

import errno

import pytest
from optuna.trial import TrialState

from sp_search.errors import StudyError
from tests.search.fake_search import search
from tests.search.fake_trainer import FakeTrainer
from tests.search.searches import new_study

pytestmark = pytest.mark.slow


class OnFullDisk(FakeTrainer):
    """Can't save what reached 400 utterances."""

    def save(self, number, folder, note):
        if self._trials[number][1] >= 400:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().save(number, folder, note)


def test_a_full_disk_ends_a_search_in_one_line_and_its_trials_go_on_once_there_is_room(in_ray, tmp_path):
    with pytest.raises(
        StudyError, match=r"^trial \d: expected room on the disk of [^\n]*, got [^\n]*; free some[^\n]*$"
    ):
        search(tmp_path, trainer=OnFullDisk, trials=3)
    states = {trial.state for trial in new_study(tmp_path).trials}
    assert states <= {TrialState.RUNNING, TrialState.PRUNED}
    assert TrialState.RUNNING in states
    summary = search(tmp_path, trials=3)
    assert (sum(summary["trials"].values()), summary["trials"]["failed"]) == (3, 0)
