import pytest
import torch

from sp_search.engine.answer.loss import apply_head, scored_nll
from sp_search.engine.prompted.forward import target_logits
from sp_search.engine.prompted.prompt_kv import TrialPrompt
from sp_search.engine.prompted.source_states import run_source, source_levels
from sp_search.engine.transformer.folded_weights import fold_weights
from tests.golden_cases import CASES, golden_case, golden_lm


@pytest.mark.parametrize("name", CASES)
def test_the_engine_matches_the_papers_code_in_logits_loss_and_every_gradient(name):
    lm, case = golden_lm(), golden_case(name)
    weights = fold_weights(lm, torch.device("cpu"), torch.float32)
    deep_layers = range(lm.architecture.layers) if case.tensors.keys is not None else range(0)
    prompt = TrialPrompt(case.tensors, deep_layers, case.is_infix)
    source = run_source(weights, case.block, source_levels([prompt.first_live_layer], weights.architecture.layers))
    logits = target_logits(weights, case.block, source, [prompt], case.answers)[0]
    logits = apply_head(logits, case.tensors.head)
    torch.testing.assert_close(logits, case.logits, rtol=1e-5, atol=1e-5)

    loss = scored_nll(logits, case.targets).sum()
    torch.testing.assert_close(loss, case.loss, rtol=1e-5, atol=1e-5)

    loss.backward()
    ours = {n: t.grad if t.grad is not None else torch.zeros_like(t) for n, t in case.tensors.named().items()}
    assert set(ours) == set(case.grads)
    for tensor_name, grad in case.grads.items():
        torch.testing.assert_close(ours[tensor_name].view(grad.shape), grad, rtol=1e-5, atol=1e-5)


def test_all_six_cases_are_there():
    assert len(CASES) == 6
