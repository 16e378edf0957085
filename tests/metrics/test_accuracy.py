import numpy as np
import pytest

from sp_search.metrics.accuracy import hits, slot_hits

WANTED = [("on", "lamp"), ("on", "heat"), ("off", "lamp"), ("off", "heat")]
PREDICTED = [("on", "lamp"), ("off", "heat"), ("off", "heat"), ("off", "heat")]


def test_an_answer_counts_only_when_all_of_it_is_right():
    assert hits(PREDICTED, WANTED).value == 2 / 4


@pytest.mark.parametrize(("slot", "share"), [(0, 3 / 4), (1, 3 / 4)])
def test_a_slots_accuracy_looks_at_no_other_slot(slot, share):
    assert slot_hits(PREDICTED, WANTED, slot).value == share


def test_the_same_labels_in_another_order_are_another_answer():
    assert hits([("lamp", "on")], [("on", "lamp")]).value == 0.0


def test_hits_are_counted_for_each_answer():
    counted = hits(PREDICTED, WANTED)
    np.testing.assert_array_equal(counted.found, [1, 0, 0, 1])
    np.testing.assert_array_equal(counted.total, [1, 1, 1, 1])
