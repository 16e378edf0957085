"""The spool of a study whose MLflow was away, and all of it sent to a store."""

from sp_search.tracking.api.tracker import MlflowTracker
from sp_search.tracking.spool.offsets import StoreOffset
from sp_search.tracking.spool.spool import Spool
from sp_search.tracking.upload.sender import Sender
from tests.tiny import tiny_corpus
from tests.tracking.fakes import FakeStore, tell_a_won_study

URI = "http://user:secret@127.0.0.1:5000"


class LostError(Exception):
    pass


class Unreachable(FakeStore):
    def __init__(self, uri):
        raise LostError


def spool_of(tmp_path, tell=tell_a_won_study):
    """The spool of a study whose MLflow was away from beginning to end."""
    tracker = MlflowTracker(tmp_path / "demo", URI, connect=Unreachable, interval_s=60, corpus=tiny_corpus())
    tell(tracker, tmp_path)
    tracker.close(0)
    return Spool(tmp_path / "demo" / "spool")


def send(spool, store, uri=URI):
    """All of it, from a process that knows only the cursor."""
    return all_of(Sender(spool, StoreOffset(spool, uri), store))


def all_of(sender):
    while sender.step():
        pass
    return sender
