import pytest

from sp_search.errors import ConfigError
from sp_search.tasks.registry import TASKS, get_task


def test_an_intent_is_an_action_an_object_and_a_location():
    assert get_task("intent").slots == ("action", "object", "location")


def test_every_task_is_found_by_its_own_name():
    assert {name: get_task(name).name for name in TASKS} == {name: name for name in TASKS}


def test_an_unknown_task_is_refused_with_its_name_and_the_known_ones():
    with pytest.raises(ConfigError, match=rf"^task: expected one of {', '.join(sorted(TASKS))}, got 'intents'$"):
        get_task("intents")
