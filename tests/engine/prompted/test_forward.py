from dataclasses import dataclass

import pytest
import torch

from sp_search.engine.answer.label_map import sequence_answers
from sp_search.engine.batch.collate import collate_sources
from sp_search.engine.prompted.forward import target_logits
from sp_search.engine.prompted.prompt_kv import TrialPrompt
from sp_search.engine.prompted.source_states import run_source, source_levels
from sp_search.engine.transformer.folded_weights import fold_weights
from sp_search.lm.architecture import Architecture
from sp_search.lm.unit_lm import random_lm
from sp_search.prompts.settings import PromptSettings
from sp_search.prompts.tensors import initial_tensors
from tests.plain_form import plain_tail

LAYERS = 4
CPU = torch.device("cpu")
SHAPES = [
    dict(depth=4),
    dict(depth=2, side="top"),
    dict(depth=1, side="top"),
    dict(depth=2, side="bottom"),
    dict(depth=0),
    dict(depth=0, position="infix"),
    dict(depth=0, position="both"),
    dict(depth=4, position="infix"),
    dict(depth=2, position="infix", side="bottom"),
]


@dataclass
class Scene:
    lm: object
    weights: object
    sources: list
    answers: torch.Tensor


@pytest.fixture(scope="module")
def scene():
    shape = Architecture(
        layers=LAYERS, embed_dim=32, ffn_embed_dim=48, attention_heads=4, vocab_size=24, max_positions=40
    )
    lm = random_lm(shape, seed=0)
    draw = torch.Generator().manual_seed(1)
    sources = [torch.randint(4, 24, (n,), generator=draw).int().numpy() for n in (7, 1, 12, 4)]
    answers = torch.randint(4, 24, (4, 3), generator=draw)
    return Scene(lm, fold_weights(lm, CPU, torch.float32), sources, answers)


def prompt_of(scene, seed, **settings):
    chosen = PromptSettings(**{"prompt_length": 5, **settings})
    tensors = initial_tensors(chosen, scene.lm, torch.Generator().manual_seed(seed))
    deep = chosen.deep_layers(LAYERS)
    return TrialPrompt(tensors, deep, chosen.position == "infix" and chosen.depth > 0)


def packed(scene, prompts, *, max_units=0):
    block = collate_sources(scene.sources, max_units=max_units, device=CPU)
    source = run_source(
        scene.weights, block, source_levels([p.first_live_layer for p in prompts], scene.weights.architecture.layers)
    )
    answers = sequence_answers(scene.answers.expand(len(prompts), -1, -1))
    return target_logits(scene.weights, block, source, prompts, answers)


def plain(scene, prompt, *, max_units=10**6):
    return torch.stack(
        [
            plain_tail(scene.lm, prompt.tensors, prompt.deep_layers, s[:max_units].tolist(), a.tolist())
            for s, a in zip(scene.sources, scene.answers, strict=True)
        ]
    )


def gradients(prompt, loss):
    named = prompt.tensors.named()
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {n: torch.zeros_like(named[n]) if g is None else g for n, g in zip(named, found, strict=True)}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_kind_of_prompt_matches_the_plain_form_in_logits_and_gradients(scene, shape):
    prompt = prompt_of(scene, seed=3, **shape)
    ours, slow = packed(scene, [prompt])[0], plain(scene, prompt)
    torch.testing.assert_close(ours, slow, rtol=1e-5, atol=2e-5)
    upstream = torch.randn(ours.shape, generator=torch.Generator().manual_seed(5))
    found, wanted = gradients(prompt, (ours * upstream).sum()), gradients(prompt, (slow * upstream).sum())
    for name, grad in wanted.items():
        torch.testing.assert_close(found[name], grad, rtol=1e-4, atol=1e-5 * float(grad.abs().max() + 1))


@pytest.mark.parametrize(
    "together",
    [
        [dict(depth=4, prompt_length=2), dict(depth=2, prompt_length=7), dict(depth=1), dict(depth=3, side="bottom")],
        [dict(depth=0, prompt_length=2), dict(depth=0, prompt_length=6)],
        [dict(depth=0, position="infix", prompt_length=1), dict(depth=0, position="infix", prompt_length=4)],
        [dict(depth=0, position="both", prompt_length=3), dict(depth=0, position="both", prompt_length=1)],
        [dict(depth=4, position="infix", prompt_length=1), dict(depth=1, position="infix", prompt_length=6)],
    ],
    ids=["deep", "input", "infix", "both", "deep infix"],
)
def test_a_pack_of_mixed_prompts_gives_each_the_logits_it_has_alone(scene, together):
    prompts = [prompt_of(scene, seed=i, **shape) for i, shape in enumerate(together)]
    for ours, prompt in zip(packed(scene, prompts), prompts, strict=True):
        torch.testing.assert_close(ours, packed(scene, [prompt])[0], rtol=1e-5, atol=2e-5)
        torch.testing.assert_close(ours, plain(scene, prompt), rtol=1e-5, atol=2e-5)


def test_a_cut_source_is_the_plain_form_of_its_first_units(scene):
    prompt = prompt_of(scene, seed=3, depth=3)
    torch.testing.assert_close(
        packed(scene, [prompt], max_units=4)[0], plain(scene, prompt, max_units=4), rtol=1e-5, atol=2e-5
    )


def test_the_input_prompt_beside_a_prefix_in_every_layer_is_inert(scene):
    prompt = prompt_of(scene, seed=3, depth=LAYERS)
    assert prompt.tensors.inert(LAYERS) == {"prefix"}
    slow = gradients(prompt, plain(scene, prompt).square().sum())
    assert float(slow["prefix"].abs().max()) == 0.0
    assert float(slow["keys"].abs().max()) > 0.0
