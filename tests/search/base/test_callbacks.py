"""Who is told of a search, and what becomes of one that fails."""

import errno

import pytest

from sp_search.search.base.callbacks import Observers, observed


class Heard:
    """Keeps what it is told, and raises at some events."""

    def __init__(self, **raises):
        self.told, self._raises = [], raises

    def tell(self, event, *arguments):
        self.told.append((event, *arguments))
        if event in self._raises:
            raise self._raises[event]

    def __getattr__(self, event):
        return lambda *arguments: self.tell(event, *arguments)


FAULTS = [OSError(errno.ENOSPC, "No space left on device"), ValueError("x"), KeyError("study")]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_an_observer_that_raised_is_named_once_and_closed_and_never_called_again(capsys, fault):
    broken, sound = Heard(reported=fault), Heard()
    observers = Observers([broken, sound])
    for event in ("study_opened", "reported", "reported", "study_finished", "close"):
        observers.tell(event, 1)
    assert broken.told == [("study_opened", 1), ("reported", 1), ("close", 0.0)]
    assert [event for event, _ in sound.told] == ["study_opened", "reported", "reported", "study_finished", "close"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("sp-search: Heard failed at reported and is left out from here on: ")


@pytest.mark.parametrize("events", [["close"], ["reported", "close"]])
def test_an_observer_that_cannot_be_closed_either_is_named_once(capsys, events):
    observers = Observers([Heard(reported=ValueError("x"), close=OSError("gone"))])
    for event in events:
        observers.tell(event, 1)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"sp-search: Heard failed at {events[0]} and is left out from here on: ")


def test_an_interruption_is_no_fault_of_an_observer():
    interrupted = Heard(reported=KeyboardInterrupt())
    observers = Observers([interrupted])
    with pytest.raises(KeyboardInterrupt):
        observers.tell("reported", 1)
    observers.tell("close", 1.0)
    assert interrupted.told[-1] == ("close", 1.0)


def test_what_is_measured_on_valid_and_in_training_is_told():
    names = ["valid_accuracy", "valid_loss", "train_loss", "utterances_per_s", "diverged", "facts", "position"]
    assert observed(dict.fromkeys(names, 1)) == dict.fromkeys(names[:4], 1.0)
