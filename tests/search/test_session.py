"""How Ray is left; that it is joined or started, whole searches show."""

import gc
import weakref

import ray

from sp_search.search.session import ray_session


class Ring:
    """Refers to itself, so that only the collector frees it."""

    def __init__(self):
        self.me = self


def test_while_ray_shuts_down_nothing_is_left_to_collect_and_no_thread_collects(monkeypatch):
    seen = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda *_, **__: None)
    monkeypatch.setattr(ray, "shutdown", lambda: seen.append((ring(), gc.isenabled())))
    with ray_session(None, 1):
        gc.disable()
        ring = weakref.ref(Ring())
        assert ring() is not None
        gc.enable()
    assert seen == [(None, False)]
    assert gc.isenabled()
