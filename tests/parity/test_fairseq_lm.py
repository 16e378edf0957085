"""The unit LM without a prompt, through the engine and through the plain form, against fairseq's own model."""

from argparse import Namespace

import pytest
import torch

from sp_search.engine.answer.label_map import sequence_answers
from sp_search.engine.batch.collate import collate_sources
from sp_search.engine.prompted.forward import target_logits
from sp_search.engine.prompted.prompt_kv import TrialPrompt
from sp_search.engine.prompted.source_states import run_source, source_levels
from sp_search.engine.transformer.folded_weights import fold_weights
from sp_search.lm.checkpoint import import_checkpoint
from sp_search.prompts.tensors import PromptTensors
from sp_search.types import SEPARATOR
from sp_search.units.dictionary import Dictionary
from sp_search.units.manifest import read_split
from tests.fairseq_models import fairseq_args, fairseq_dictionary, fairseq_lm, fairseq_logits
from tests.plain_form import plain_logits
from tests.shared import shared
from tests.tiny import CPU, split_of

SHAPES = {
    "1 layer, 1 head": dict(decoder_layers=1, decoder_embed_dim=8, decoder_attention_heads=1),
    "4 layers, 4 heads": dict(decoder_layers=4, decoder_embed_dim=32, decoder_attention_heads=4),
    "narrow heads": dict(decoder_layers=2, decoder_embed_dim=24, decoder_attention_heads=12),
    "narrow feed-forward": dict(decoder_layers=3, decoder_embed_dim=16, decoder_ffn_embed_dim=4),
    "no final norm": dict(decoder_layers=2, decoder_embed_dim=16, no_decoder_final_norm=True),
}
UTTERANCES = split_of(
    [[5, 9, 9, 23, 4, 17, 6], [8], list(range(4, 24)), [11, 4]],
    [["8", "6", "20"], ["4", "4", "4"], ["23", "5", "9"], ["7", "8", "9"]],
)


def unprompted(lm):
    return PromptTensors(separator=lm.embedding[SEPARATOR].clone())


def engine_tail(lm, sources, answers):
    """Logits (B, 2 + M, V): rows that predict `<s>`, the answer and `</s>`."""
    weights = fold_weights(lm, CPU, torch.float32)
    prompt = TrialPrompt(unprompted(lm), range(0), is_infix=False)
    block = collate_sources(sources, max_units=0, device=CPU)
    source = run_source(weights, block, source_levels([prompt.first_live_layer], weights.architecture.layers))
    return target_logits(weights, block, source, [prompt], sequence_answers(answers[None]))[0]


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def check_tails(lm, model, split):
    """All utterances in one padded batch, against one by one."""
    answers = torch.tensor([[int(unit) for unit in answer] for answer in split.answers])
    sources = [split.source(i) for i in range(len(split))]
    wanted = [
        fairseq_logits(model, s.tolist(), a.tolist())[-(len(a) + 2) :] for s, a in zip(sources, answers, strict=True)
    ]
    close(engine_tail(lm, sources, answers), torch.stack(wanted))


def check_every_source_position(lm, model, source):
    """Row 0 of a tail predicts what follows its source: asked for every beginning of an utterance at once."""
    beginnings = [source[:end] for end in range(1, len(source) + 1)]
    nothing = torch.empty(len(beginnings), 0, dtype=torch.int64)
    close(engine_tail(lm, beginnings, nothing)[:, 0], fairseq_logits(model, source.tolist(), [])[1:-1])


def check_plain_form(lm, model, split):
    for i, answer in enumerate(split.answers):
        source, units = split.source(i).tolist(), [int(unit) for unit in answer]
        close(plain_logits(lm, unprompted(lm), range(0), source, units), fairseq_logits(model, source, units))


@pytest.fixture(scope="module", params=SHAPES.values(), ids=SHAPES)
def pair(request, tmp_path_factory):
    """An LM as imported, and the fairseq model it was imported from."""
    shape = dict(request.param)
    width = shape["decoder_embed_dim"]
    args = fairseq_args(decoder_output_dim=width, decoder_input_dim=width, **shape)
    model = fairseq_lm(args, fairseq_dictionary(20), seed=width)
    path = tmp_path_factory.mktemp("lm") / "lm.pt"
    torch.save({"args": args, "model": model.state_dict()}, path)
    return import_checkpoint(path), model


@pytest.fixture(scope="module")
def real():
    """The real LM, the same in fairseq, and the first utterances of the real corpus, answers as unit ids."""
    path = shared("lm", "hubert100_6x256", "checkpoint_best.pt")
    valid = shared("data", "fluent_commands_hubert100", "valid.txt.gz")
    with torch.serialization.safe_globals([Namespace]):
        checkpoint = torch.load(path, weights_only=True)
    model = fairseq_lm(checkpoint["args"], fairseq_dictionary(100), seed=0)
    model.load_state_dict(checkpoint["model"])
    split = read_split(valid, Dictionary.load(path.parent / "dict.txt"), "valid")
    few = [split.source(i).tolist() for i in range(8)]
    return import_checkpoint(path), model, split_of(few, [[str(4 + int(x)) for x in a] for a in split.answers[:8]])


def test_the_engine_gives_a_batchs_answers_the_logits_that_fairseq_gives_each(pair):
    check_tails(*pair, UTTERANCES)


def test_the_engine_gives_every_source_position_fairseqs_logits(pair):
    check_every_source_position(*pair, UTTERANCES.source(2))


def test_the_plain_form_is_fairseqs_model_at_every_position(pair):
    check_plain_form(*pair, UTTERANCES)


def test_the_engine_gives_the_real_lms_logits_on_real_utterances(real):
    check_tails(*real)


def test_the_engine_gives_the_real_lms_logits_at_every_position_of_a_real_utterance(real):
    lm, model, split = real
    check_every_source_position(lm, model, split.source(0))


def test_the_plain_form_is_the_real_lm_at_every_position(real):
    check_plain_form(*real)
