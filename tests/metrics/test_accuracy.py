import pytest

from sp_search.metrics.accuracy import accuracy, slot_accuracy

WANTED = [("on", "lamp"), ("on", "heat"), ("off", "lamp"), ("off", "heat")]
PREDICTED = [("on", "lamp"), ("off", "heat"), ("off", "heat"), ("off", "heat")]


def test_an_answer_counts_only_when_all_of_it_is_right():
    assert accuracy(PREDICTED, WANTED) == 2 / 4


@pytest.mark.parametrize(("slot", "share"), [(0, 3 / 4), (1, 3 / 4)])
def test_a_slots_accuracy_looks_at_no_other_slot(slot, share):
    assert slot_accuracy(PREDICTED, WANTED, slot) == share


def test_the_same_labels_in_another_order_are_another_answer():
    assert accuracy([("lamp", "on")], [("on", "lamp")]) == 0.0
