import pytest
from hypothesis import given
from hypothesis import strategies as st

from sp_search.errors import ConfigError
from sp_search.metrics.measures import MEASURES
from sp_search.tasks.registry import TASKS, get_task


def test_an_intent_is_an_action_an_object_and_a_location():
    assert get_task("intent").slots == ("action", "object", "location")


def test_every_task_is_found_by_its_own_name():
    assert {name: get_task(name).name for name in TASKS} == {name: name for name in TASKS}


def test_a_label_is_a_word_in_the_field_that_is_named_and_so_is_a_keyword():
    emotion = get_task("label", field="emotion")
    assert (emotion.field, emotion.slots, emotion.decides) == ("emotion", ("emotion",), "accuracy")
    assert get_task("keyword").field == get_task("label", field="keyword").field
    assert get_task("asr", field="said").field == "said"
    assert get_task("asr").field == "text"


def test_an_unknown_task_is_refused_with_its_name_and_the_known_ones():
    with pytest.raises(ConfigError, match=rf"^task: expected one of {', '.join(sorted(TASKS))}, got 'intents'$"):
        get_task("intents")


SPELLED = {
    "asr": {"on": "o n", "light up": "l i g h t | u p", "it's 5": "i t ' s | 5", "B-b": "B - b"},
    "slots": {
        "B-city new york E-city": "B-city n e w | y o r k E-city",
        "in B-city ur E-city B-day may E-day or so": "i n B-city u r E-city B-day m a y E-day o r | s o",
        "B- E-": "B - | E -",
    },
}


@pytest.mark.parametrize("name", SPELLED)
def test_characters_spell_words_with_a_blank_between_and_marks_whole(name):
    task = get_task(name, answer_format="characters")
    for words, symbols in SPELLED[name].items():
        assert task.spell(words.split()) == tuple(symbols.split())
        assert task.words(symbols.split()) == tuple(words.split())


@given(st.lists(st.sampled_from(["B-a", "E-a", "B-bc", "E-bc", "x", "yz", "-", "B"])))
def test_words_undo_spell(words):
    for name in TASKS:
        for answer_format in ("words", "characters"):
            task = get_task(name, answer_format=answer_format)
            assert task.words(task.spell(words)) == tuple(words)


@given(st.lists(st.sampled_from(["B-a", "E-a", "x", "y", "|"])))
def test_any_symbols_are_some_words(symbols):
    words = get_task("slots", answer_format="characters").words(symbols)
    assert "".join(words) == "".join(symbols).replace("|", "")
    assert all(words)


def test_a_word_with_the_blank_in_it_cannot_be_spelled():
    with pytest.raises(ConfigError, match=r"without blanks and '\|' to spell, got 'a\|b'; take task"):
        get_task("asr", answer_format="characters").spell(["a|b"])


def test_what_a_task_measures_is_known_by_its_name():
    assert {name for task in TASKS.values() for name in task.metrics} <= set(MEASURES)
    assert {name: task.decides for name, task in TASKS.items()} == {
        "label": "accuracy", "keyword": "accuracy", "intent": "accuracy",
        "asr": "char_accuracy", "slots": "slot_type_f1",
    }  # fmt: skip


@pytest.mark.parametrize("word", ["turn on", "a\tb", "", " "])
def test_a_word_with_an_inner_blank_cannot_be_spelled_either(word):
    with pytest.raises(ConfigError, match="expected words without blanks"):
        get_task("label", answer_format="characters", field="labels").spell([word])
