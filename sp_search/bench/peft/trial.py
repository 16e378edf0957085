"""The rival: one prompt trained through PEFT on a `transformers` model, a batch at a time, as its guide has it.

Prefix tuning trains the past keys and values of every layer, prompt tuning trains embeddings in front of the source.
A row of the batch is `start source separator answer end`, padded behind, as in `tests/parity/test_peft.py`; the
separator is the token in front of a source, where the LM has none of its own. The loss is the model's own mean over
what stands behind the source. `peft` and `transformers` are imported when a trial is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sp_search.batches.evaluation import eval_batches
from sp_search.batches.stream import BatchStream
from sp_search.bench.peft.transformers_lm import Arithmetic, Attention, frozen_model, tokens_of
from sp_search.engine.trial.hparams import TrialHParams
from sp_search.engine.trial.task_data import Scores, TaskData, task_data
from sp_search.engine.trial.trial import ADAM_BETAS, MAX_GRAD_NORM
from sp_search.errors import ConfigError
from sp_search.lm.unit_tokens import GivenTokens, UnitTokens
from sp_search.tasks.registry import Task
from sp_search.types import EOS, SEPARATOR, Params
from sp_search.units.manifest import load_corpus

UNSCORED = -100
VALID_TOKENS = 4096
"""Most source units of a validation batch."""


@dataclass(frozen=True, kw_only=True)
class PeftRecipe:
    """Everything a trial is made of, small enough to send to another process."""

    folder: Path  # of the LM
    tokens: GivenTokens
    data_path: Path
    train_utterances: int
    task: Task
    batch_size: int
    stream_seed: int
    threads: int
    device: str  # cpu or cuda
    arithmetic: Arithmetic
    attention: Attention

    def __call__(self, params: Params, seed: int) -> PeftTrial:
        """A trial before its first update, in this process.

        Raises:
            UserError: the LM, the corpus or the parameters are wrong, or PEFT has no such prompt.
        """
        torch.set_num_threads(self.threads)
        unit_map = tokens_of(self.folder, self.tokens)
        corpus = load_corpus(
            self.data_path,
            unit_map.dictionary,
            "bench",
            train_utterances=self.train_utterances,
            field=self.task.field,
        )
        data = task_data(corpus, unit_map.dictionary, self.task, _no_scores)
        return PeftTrial(self, data, unit_map, params, seed)


class PeftTrial:
    """One trial by itself."""

    def __init__(self, recipe: PeftRecipe, data: TaskData, tokens: UnitTokens, params: Params, seed: int) -> None:
        """See `PeftRecipe`."""
        self._recipe, self.data = recipe, data
        self._device = torch.device(recipe.device)
        settings = TrialHParams.from_params(params)
        model = frozen_model(
            recipe.folder, arithmetic=recipe.arithmetic, attention=recipe.attention, device=self._device
        )
        embedding = model.get_input_embeddings().weight
        rows = [token or 0 for token in tokens.tokens]
        self.tokens, self.units = tokens, data.verbalizer_units(settings, embedding[rows])
        self._rows = _Rows(tokens, self.units)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.model = _with_prompt(model, settings).to(self._device).eval()  # without dropout, as the engine
        trained = [weight for weight in self.model.parameters() if weight.requires_grad]
        self._optimizer = torch.optim.Adam(trained, lr=settings.lr, betas=ADAM_BETAS)
        self._trained = trained
        self.stream = BatchStream(np.diff(data.train.offsets), recipe.batch_size, recipe.stream_seed)

    def update(self, position: int) -> float:
        """Train on the stream's batch at a position; the loss of the batch before the update, nats a scored token."""
        loss = self._loss("train", self.stream.batch(position))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._trained, MAX_GRAD_NORM)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    @torch.no_grad()
    def valid_loss(self, utterances: int) -> float:
        """Nats per scored token over the first utterances of valid, each batch with the same weight."""
        split = self.data.corpus.splits["valid"]
        lengths = np.diff(split.offsets)[: utterances or None]
        losses = [float(self._loss("valid", chosen)) for chosen in eval_batches(lengths, VALID_TOKENS)]
        return float(np.mean(losses))

    def _loss(self, split: str, chosen: npt.NDArray[np.int64]) -> Tensor:
        sources = [self.data.corpus.splits[split].source(int(i)) for i in chosen]
        batch = self._rows.batch(sources, self.data.answers[split][chosen], self._device)
        with self._arithmetic():
            return self.model(**batch).loss

    def _arithmetic(self) -> AbstractContextManager[None]:
        if self._recipe.arithmetic == "autocast":
            return torch.autocast(self._device.type, torch.bfloat16)
        return nullcontext()


class _Rows:
    """Makes what a causal LM of `transformers` is called with."""

    def __init__(self, tokens: UnitTokens, units: Sequence[int]) -> None:
        by_id = np.array([-1 if token is None else token for token in tokens.tokens])
        self._source, self._answer = by_id, by_id[list(units)]
        self._start, self._end = int(by_id[tokens.start]), int(by_id[EOS])
        has_separator = by_id[SEPARATOR] >= 0
        self._separator = int(by_id[SEPARATOR]) if has_separator else self._start
        self._expected = self._separator if has_separator else self._end  # what announces an answer

    def batch(
        self, sources: Sequence[npt.NDArray[np.int32]], answers: npt.NDArray[np.int32], device: torch.device
    ) -> dict[str, Tensor]:
        """Token rows, what of them is no padding, and what is scored of them."""
        rows, labels = [], []
        for source, symbols in zip(sources, answers, strict=True):
            answer = [*self._answer[symbols[symbols >= 0]].tolist(), self._end]
            rows.append([self._start, *self._source[source].tolist(), self._separator, *answer])
            labels.append([UNSCORED] * (1 + len(source)) + [self._expected, *answer])
        longest = max(map(len, rows))
        padded = [row + [self._end] * (longest - len(row)) for row in rows]
        mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
        wanted = [row + [UNSCORED] * (longest - len(row)) for row in labels]
        named = {"input_ids": padded, "attention_mask": mask, "labels": wanted}
        return {name: torch.tensor(what, device=device) for name, what in named.items()}


def _with_prompt(model: Any, settings: TrialHParams) -> Any:
    """PEFT's prefix tuning for a deep prompt, its prompt tuning for an input prompt.

    Raises:
        ConfigError: PEFT has no such prompt.
    """
    from peft import PrefixTuningConfig, PromptTuningConfig, get_peft_model

    prompt, config = settings.prompt, model.config
    layers, heads = int(config.num_hidden_layers), int(config.num_attention_heads)
    if prompt is None or prompt.position != "prefix" or prompt.depth not in (0, layers):
        raise ConfigError(f"space: expected a prefix with depth 0 or {layers}, which PEFT has, got {prompt}")
    if settings.verbalizer == "linear" or prompt.dropout:
        raise ConfigError(
            f"space: expected verbalizer other than linear and dropout=0, which PEFT's prompts have none of, got "
            f"verbalizer={settings.verbalizer} dropout={prompt.dropout}"
        )
    if prompt.depth == 0:
        return get_peft_model(
            model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=prompt.prompt_length)
        )
    kv_heads = int(getattr(config, "num_key_value_heads", None) or heads)
    width = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    prefix = PrefixTuningConfig(
        task_type="CAUSAL_LM",
        num_virtual_tokens=prompt.prompt_length,
        num_layers=layers,
        token_dim=kv_heads * width,
        num_attention_heads=kv_heads,
    )
    return get_peft_model(model, prefix)


def _no_scores(data: TaskData) -> Scores:
    raise ConfigError("verbalizer: expected one that asks no LM, got likelihood")
