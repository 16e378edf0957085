"""Compiled pieces of the step against the same pieces as they are written."""

import os
import shutil
from collections.abc import Iterator

import pytest
import torch

from sp_search.cli.settings.compose import load_settings
from sp_search.cli.wiring.factories import recipe_of
from sp_search.config import Settings
from sp_search.engine.runtime.compile import BACKEND, backend_of
from sp_search.engine.transformer.decoder_layer import finish_layer
from sp_search.engine.transformer.folded_weights import fold_weights
from sp_search.errors import ConfigError
from tests.engine.trials import TRIALS, add_all, assert_same, trained
from tests.tiny import CPU, as_lines, tiny_corpus, tiny_dictionary, tiny_lm, tiny_trainer

SIZES = [(1, 8, 9), (3, 4, 12), (1, 1, 1), (5, 3, 11)]
"""Trials, utterances, rows."""
UPDATES = 4
KINDS = "long, top layers", "linear, decaying", "deep infix"

needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="no C++ compiler on this machine"
)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What one test compiles is no other's; a piece that meets too many kinds of sizes fails, where torch would warn
    and run it as it is written.
    """
    torch.compiler.reset()
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        yield
    torch.compiler.reset()


class Counting:
    """A backend that runs what it is given, and counts how often it is given something."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph, inputs):
        self.graphs += 1
        return graph.forward


def drawn(*sizes, seed):
    return torch.randn(sizes, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def layer_passed(backend, sizes):
    """What leaves a layer, and the gradients on what enters it."""
    layer = fold_weights(tiny_lm(), CPU, torch.float32, backend).layers[0]
    x, mixed = (drawn(*sizes, 16, seed=seed) for seed in (1, 2))
    out = finish_layer(x, mixed, layer)
    return out, *torch.autograd.grad((out * drawn(*out.shape, seed=3).detach()).sum(), [x, mixed])


def check_layers(backend):
    for sizes in SIZES:
        for ours, plain in zip(layer_passed(backend, sizes), layer_passed(None, sizes), strict=True):
            torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)


def check_pack(backend, trials, folder):
    found = []
    for which in (backend, None):
        trainer = tiny_trainer(backend=which)
        add_all(trainer, dict(enumerate(trials)))
        found.append(trained(trainer, range(len(trials)), UPDATES, folder / str(which)))
    for number in range(len(trials)):
        assert_same(found[0][number], found[1][number])


def test_a_layer_of_any_size_gives_and_passes_back_the_same():
    check_layers("aot_eager")


def test_a_pack_of_prompts_and_of_a_fine_tuned_lm_trains_and_measures_the_same(tmp_path):
    check_pack("aot_eager", [TRIALS[name] for name in (*KINDS, "fine-tuned")], tmp_path)


def test_pieces_are_compiled_for_few_of_all_sizes():
    counting = Counting()
    check_layers(counting)
    assert 2 <= counting.graphs <= 2 * 2  # a single row is a case of its own
    before = counting.graphs
    for sizes in [(2, 5, 10), (6, 6, 13), (3, 9, 8)]:
        layer_passed(counting, sizes)
    assert counting.graphs == before


@pytest.mark.long
@needs_compiler
def test_torchs_own_compiler_gives_the_same(tmp_path):
    check_layers(BACKEND)
    check_pack(BACKEND, [TRIALS[name] for name in KINDS], tmp_path)


@pytest.fixture
def asked(tmp_path):
    """The recipe of a search's settings."""
    for name, split in tiny_corpus().splits.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(as_lines(split, tiny_dictionary())))
    words = ["lm=random:2x16x2", f"data={tmp_path}", f"cache={tmp_path}/cache", "engine.device=cpu", "dtype=float32"]

    def asked(*more):
        return recipe_of(load_settings([*words, "engine.tokens_per_pass=100", *more], Settings))

    return asked


@needs_compiler
def test_the_setting_of_a_search_reaches_the_weights_that_its_packs_compute_with(asked):
    for words, backend in (([], None), (["engine.compile=true"], BACKEND)):
        recipe = asked(*words)
        trainers = recipe(), recipe(recipe.parts(*recipe.data()))
        assert [trainer._weights.backend for trainer in trainers] == [backend] * 2


def test_a_machine_without_a_compiler_is_told_at_the_start(asked, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        ConfigError, match=r"^engine\.compile: expected a C\+\+ compiler .*, found no no-such-compiler; install it"
    ):
        asked("engine.compile=true")()
    assert backend_of(False) is None
