"""Deep prompts on LMs in the `transformers` format, against PEFT's prefix tuning, in float32.

PEFT trains the past keys and values themselves; the engine trains what the projections make them of. So PEFT is given
what the model's own projections make of the engine's prompts, and its gradient is taken back through them.
"""

import pytest
import torch
import torch.nn.functional as F
from peft import PrefixTuningConfig, get_peft_model

from sp_search.engine.trial.task_data import task_data
from sp_search.tasks.registry import get_task
from sp_search.types import EOS
from tests.engine.trials import BATCH, BUDGET
from tests.tiny import no_scores, tiny_corpus, tiny_trainer
from tests.transformers_models import CONFIGS, LAYERS, pair_of

pytestmark = [  # PEFT 0.21 uses names that transformers 5.24 would have otherwise
    pytest.mark.filterwarnings("ignore:`past_key_values` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]
LENGTHS = (1, 4, 2, 7)
LIKE = dict(depth=LAYERS, lr=0.01, dropout=0.0, verbalizer="identity", init_scale=0.7)


@pytest.fixture(scope="module", params=CONFIGS.values(), ids=CONFIGS)
def pair(request, tmp_path_factory):
    return pair_of(request.param(), tmp_path_factory.mktemp("lm"))


def projected(pair, keys, values):
    """(P, 2 * L * heads * d), as PEFT stores it: what the model's own modules make of prompts (L, P, D)."""
    parts = []
    for layer, key, value in zip(layers_of(pair.model), keys, values, strict=True):
        if (attention := getattr(layer, "self_attn", None)) is not None:
            made = attention.k_proj(key), attention.v_proj(value)
            if (norm := getattr(attention, "k_norm", None)) is not None:
                made = norm(made[0].unflatten(-1, (-1, attention.head_dim))).flatten(-2), made[1]
        elif (attention := getattr(layer, "attn", None)) is not None:
            made = attention.c_attn(key).chunk(3, -1)[1], attention.c_attn(value).chunk(3, -1)[2]
        else:
            heads, of_qkv = pair.model.config.num_attention_heads, layer.attention.query_key_value
            by_head = [of_qkv(part).unflatten(-1, (heads, 3, -1)) for part in (key, value)]
            made = by_head[0][..., 1, :].flatten(-2), by_head[1][..., 2, :].flatten(-2)
        parts += made
    return torch.cat(parts, dim=-1)


def layers_of(model):
    body = getattr(model, "model", None) or getattr(model, "transformer", None) or model.gpt_neox
    body = getattr(body, "decoder", body)
    return body.h if hasattr(body, "h") else body.layers


def with_peft(pair, trial, utterances, data):
    """Loss in nats a scored token, and the gradients of keys and values, through PEFT."""
    keys, values = (part.detach().clone().requires_grad_() for part in (trial.tensors.keys, trial.tensors.values))
    made = projected(pair, keys, values)
    architecture = pair.loaded.lm.architecture
    settings = PrefixTuningConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=keys.shape[1], num_layers=LAYERS, token_dim=architecture.kv_width,
        num_attention_heads=architecture.kv_heads,
    )  # fmt: skip
    model = get_peft_model(pair.model, settings).eval()
    embedding = model.prompt_encoder["default"].embedding.weight
    embedding.data = made.detach().clone()
    embedding.requires_grad_()
    rows, heard = [], []
    for i in utterances:
        source = [pair.start, *(pair.token(int(unit)) for unit in data.train.source(int(i)))]
        symbols = [int(symbol) for symbol in data.answers["train"][i] if symbol >= 0]
        answer = [pair.token(int(trial.verbalized.inputs[symbol])) for symbol in symbols]
        rows.append([*source, pair.start, *answer, pair.token(EOS)])
        heard.append(len(source))
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    labels = ids.masked_fill((mask == 0) | (torch.arange(longest) < torch.tensor(heard)[:, None]), -100)
    labels[torch.arange(len(rows)), torch.tensor(heard)] = pair.token(EOS)  # what stands for `<s>` as a target
    embeds = pair.model.get_input_embeddings()(ids)
    logits = model(inputs_embeds=embeds, attention_mask=mask).logits
    loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
    loss.backward()
    on_keys, on_values = torch.autograd.grad(made, [keys, values], embedding.grad)
    return loss.item(), on_keys, on_values


def test_loss_and_gradient_of_every_prompt_vector_are_those_of_prefix_tuning(pair):
    """Four trials of different lengths in one pack, a padded batch of utterances."""
    lm, dictionary = pair.loaded.lm, pair.loaded.dictionary
    data = task_data(tiny_corpus(), dictionary, get_task("intent"), no_scores)
    trainer = tiny_trainer(lm, data)
    for number, length in enumerate(LENGTHS):
        trainer.add(number, dict(LIKE, prompt_length=length), seed=number, budget=BUDGET)
    trials = list(trainer._trials.values())
    start = lm.input_rows()[0] / lm.architecture.token_scale
    for trial in trials:
        trial.tensors.separator.data = start.clone()  # a token of the model, so that it need not be projected
    utterances = torch.arange(BATCH).numpy()
    trainer._train_step.gradients(trials, utterances)
    for trial in trials:
        loss, on_keys, on_values = with_peft(pair, trial, utterances, data)
        assert float(trial.loss_sum) / trial.scored == pytest.approx(loss, rel=1e-5, abs=1e-5)
        for ours, theirs in ((trial.tensors.keys.grad, on_keys), (trial.tensors.values.grad, on_values)):
            assert theirs.abs().max() > 1e-3
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
