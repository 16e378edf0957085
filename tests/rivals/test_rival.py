"""Fitted rivals: their answers against scikit-learn's and the slow obvious form, their probabilities, their files."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import log_loss as scikit_learns_log_loss
from sklearn.svm import LinearSVC

from sp_search.errors import CheckpointError
from sp_search.rivals import retrieval
from sp_search.rivals.file import load_rivals, save_rivals
from sp_search.rivals.rival import CountedCorpus, Rival, answer_numbers, calibrated, log_loss, log_softmax
from sp_search.rivals.settings import RivalSettings
from sp_search.tasks.label_space import LabelSpace
from sp_search.tasks.registry import TASKS
from tests.rivals.test_ngram_features import texts
from tests.tiny import ANSWERS, split_of, tiny_split

NGRAM = RivalSettings(method="ngram", ngrams=2, sublinear_tf=True, min_df=1, C=3.0)
RETRIEVAL = RivalSettings(method="retrieval", ngrams=2, sublinear_tf=True, min_df=1)
BOTH = pytest.mark.parametrize("settings", [NGRAM, RETRIEVAL], ids=["ngram", "retrieval"])
TRAIN, VALID, TEST = (
    tiny_split(name, count, seed) for seed, (name, count) in enumerate([("train", 80), ("valid", 40), ("test", 60)])
)


def fitted(settings, train=TRAIN, valid=VALID) -> Rival:
    return CountedCorpus.of(settings.counted, train, valid).fit(settings)[0]


def test_ngrams_answer_as_scikit_learns_svm_on_its_own_features():
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\S+", sublinear_tf=True)
    theirs = LinearSVC(C=3.0, multi_class="crammer_singer", max_iter=200, random_state=0)
    theirs.fit(words.fit_transform(texts(TRAIN)), [" ".join(answer) for answer in TRAIN.answers])
    wanted = theirs.predict(words.transform(texts(TEST))).tolist()
    got = [" ".join(answer) for answer in fitted(NGRAM).answers(TEST)]
    assert np.mean([a == b for a, b in zip(got, wanted, strict=True)]) > 0.96  # their columns stand in another order
    assert np.mean([a == b for a, b in zip(got, map(" ".join, TEST.answers), strict=True)]) > 0.5


def test_retrieval_gives_the_answer_of_the_utterance_with_the_largest_cosine():
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\S+", sublinear_tf=True)
    known, asked = words.fit_transform(texts(TRAIN)).toarray(), words.transform(texts(TEST)).toarray()
    got = fitted(RETRIEVAL).answers(TEST)
    for answer, row in zip(got, asked, strict=True):
        cosines = [float(row @ other) for other in known]
        best = {TRAIN.answers[i] for i, cosine in enumerate(cosines) if cosine > max(cosines) - 1e-6}
        assert answer in best


def test_retrieval_in_portions_finds_the_same(monkeypatch):
    at_once = fitted(RETRIEVAL).log_probs(TEST)
    monkeypatch.setattr(retrieval, "AT_ONCE", 7 * len(TRAIN) + 3)
    np.testing.assert_array_equal(fitted(RETRIEVAL).log_probs(TEST), at_once)


@BOTH
def test_the_probabilities_are_of_trainings_answers_in_the_order_of_the_label_space(settings):
    rival, task = fitted(settings), TASKS["intent"]
    space = LabelSpace.from_split(TRAIN, task)
    assert rival.legal == tuple(space.words(answer, task) for answer in space.answers)
    log_probs = rival.log_probs(TEST)
    assert (log_probs.shape, log_probs.dtype) == ((60, len(ANSWERS)), np.float32)
    np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1, atol=1e-5)
    assert rival.answers(TEST) == [rival.legal[k] for k in log_probs.argmax(axis=1)]


@BOTH
def test_no_other_temperature_has_a_lower_log_loss_on_valid(settings):
    rival, gold = fitted(settings), answer_numbers(fitted(settings).legal, VALID.answers)
    scores = rival.model.scores(rival.features.weights(VALID)).astype(np.float64)

    def theirs(log_scale):
        shares = np.exp(log_softmax(np.exp(log_scale[0]) * scores).astype(np.float64))
        return scikit_learns_log_loss(gold, shares / shares.sum(axis=1, keepdims=True), labels=range(len(ANSWERS)))

    best = minimize(theirs, [0.0], method="Nelder-Mead")
    assert log_loss(rival.log_probs(VALID), gold) == pytest.approx(best.fun, abs=1e-4)


def test_answers_that_training_lacks_count_in_no_loss_and_without_any_other_nothing_is_set():
    log_probs = np.log(np.array([[0.25, 0.75], [0.5, 0.5]], dtype=np.float32))
    assert log_loss(log_probs, np.array([1, -1])) == pytest.approx(-np.log(0.75))
    assert log_loss(log_probs, np.array([-1, -1])) is None
    assert calibrated(np.ones((2, 3), dtype=np.float32), np.array([-1, -1])) == 1.0


@pytest.mark.parametrize("answers", [1, 2])
@BOTH
def test_one_answer_is_always_given_and_two_are_told_apart(settings, answers):
    rows = [([5 + i % answers] * (2 + i % 3), ANSWERS[i % answers]) for i in range(12)]
    train = split_of(*zip(*rows, strict=True))
    rival = fitted(settings, train, train)
    assert rival.answers(train) == list(train.answers)
    assert rival.log_probs(train).shape == (12, answers)


def test_what_a_rival_weighs_is_counted_by_hand():
    train = split_of([[5, 5], [6, 6], [5, 6], [6, 5]], [("a",), ("b",), ("c",), ("c",)])
    linear, nearest = fitted(NGRAM, train, train), fitted(RETRIEVAL, train, train)
    ngrams = 2 + 4
    assert linear.trained_parameters == 3 * ngrams + 3
    assert linear.stored_bytes == 4 * (3 * ngrams + 3) + 4 * 2 * ngrams + 4 * ngrams
    weights = 2 + 2 + 3 + 3  # n-grams that each utterance has
    assert nearest.trained_parameters == 0
    assert nearest.stored_bytes == 8 * weights + 8 * (4 + 1) + 4 * 4 + 4 * 2 * ngrams + 4 * ngrams
    assert min(linear.train_s, nearest.train_s) > 0


def test_rivals_from_their_file_answer_alike_to_the_bit(tmp_path):
    rivals = [fitted(RETRIEVAL), fitted(NGRAM)]
    save_rivals(tmp_path / "rival" / "rivals.safetensors", rivals, {"data": "d", "task": "intent"})
    again, about = load_rivals(tmp_path / "rival" / "rivals.safetensors")
    assert about == {"data": "d", "task": "intent"}
    for one, other in zip(rivals, again, strict=True):
        assert (one.settings, one.legal, one.scale, one.train_s) == (
            other.settings,
            other.legal,
            other.scale,
            other.train_s,
        )
        assert (one.name, one.trained_parameters, one.stored_bytes) == (
            other.name,
            other.trained_parameters,
            other.stored_bytes,
        )
        np.testing.assert_array_equal(one.log_probs(TEST), other.log_probs(TEST))


def test_a_damaged_file_is_refused_wherever_it_was_hit(tmp_path):
    path = tmp_path / "rivals.safetensors"
    save_rivals(path, [fitted(NGRAM)], {})
    whole = path.read_bytes()
    for at in (*range(0, 4000, 400), len(whole) - 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(CheckpointError, match=r"rivals\.safetensors: expected saved rivals, got"):
            load_rivals(path)
    path.write_bytes(whole[:-10])
    with pytest.raises(CheckpointError, match=r"rivals\.safetensors: expected saved rivals, got"):
        load_rivals(path)


def test_an_absent_file_is_said_to_be_absent(tmp_path):
    with pytest.raises(CheckpointError, match=r"x\.safetensors: expected saved rivals, got No such file"):
        load_rivals(tmp_path / "x.safetensors")


def test_a_rival_without_a_tensor_is_refused():
    rival = fitted(NGRAM)
    tensors = {name: tensor for name, tensor in rival.tensors().items() if name != "bias"}
    with pytest.raises(CheckpointError, match=r"^here: expected a whole rival, got a damaged one \('bias'\)$"):
        Rival.load(rival.document(), tensors, "here")
