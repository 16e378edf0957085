"""One live trial: its tensors, optimizer, learning rate and random draws; saved and restored exactly.

A trial owns its random generator, so it draws the same numbers among other trials as alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from sp_search.engine.answer.candidate import Candidate, MicrobatchKey
from sp_search.engine.answer.label_map import LabelMap
from sp_search.engine.answer.loss import dropout_factors
from sp_search.engine.prompted.prompt_kv import TrialPrompt
from sp_search.engine.trial.hparams import TrialHParams
from sp_search.engine.trial.linear_probe import ProbeTensors
from sp_search.engine.trial.lm_copy import own_copy, own_named
from sp_search.engine.trial.lr_schedule import learning_rate
from sp_search.engine.trial.weight_average import new_mean, update_mean
from sp_search.errors import CheckpointError
from sp_search.lm.unit_lm import UnitLM
from sp_search.prompts.tensors import PromptTensors, initial_head, initial_tensors
from sp_search.types import SEPARATOR

ADAM_BETAS = (0.9, 0.98)
MAX_GRAD_NORM = 1.0


@dataclass
class LiveTrial:
    """A live trial.

    segments are the stretches of the batch stream that it was trained on, as [first position, batches]. They allow to
    train it again on the same batches. loss_sum and scored count since the last report.
    """

    settings: TrialHParams
    tensors: PromptTensors | ProbeTensors
    verbalized: LabelMap  # empty for a probe, which writes no units
    optimizer: torch.optim.Adam
    generator: torch.Generator
    deep_layers: range
    budget: int  # utterances, over which the learning rate warms up and decays
    own_lm: UnitLM | None = None  # trained by fine-tuning; None uses the shared, frozen LM
    mean: PromptTensors | None = None  # the mean of its updates, which answers; None if its last step answers
    updates: int = 0
    utterances_seen: int = 0
    segments: list[list[int]] = field(default_factory=list)
    loss_sum: Tensor | float = 0.0
    scored: int = 0
    train_s: float = 0.0  # its share of its worker's training time

    def named(self) -> dict[str, Tensor]:
        """All stored tensors of the trial, by name."""
        return self.tensors.named() | ({} if self.own_lm is None else own_named(self.own_lm))

    @property
    def is_infix(self) -> bool:
        """Whether its deep prompt stands right before `<s>`."""
        return self.settings.prompt is not None and self.settings.prompt.is_deep_infix

    @property
    def microbatch_key(self) -> MicrobatchKey:
        """Trials with the same key may share a micro-batch."""
        return self.candidate().microbatch_key

    @property
    def first_live_layer(self) -> int | None:
        """The first live layer of its prompt."""
        return self.candidate().prompt.first_live_layer

    def prompt_draws(self) -> dict[str, Tensor]:
        """The dropout factors of an update for prompt vectors, by tensor; empty without dropout."""
        named, rate = self.tensors.named(), self.settings.prompt.dropout if self.settings.prompt is not None else 0.0
        drawn = {
            name: dropout_factors(named[name].shape, rate, self.generator)
            for name in ("prefix", "infix", "keys", "values")
            if name in named
        }
        return {name: factors for name, factors in drawn.items() if factors is not None}

    def head_draws(self, utterances: int, rows: int) -> Tensor | None:
        """The dropout factors of an update after a linear verbalizer, (B, rows, C + 4); None without dropout."""
        assert isinstance(self.tensors, PromptTensors)
        if self.tensors.head is None:
            return None
        shape = (utterances, rows, len(self.tensors.head))
        return dropout_factors(shape, self.settings.verbalizer_dropout, self.generator)

    def training_prompt(self, draws: Mapping[str, Tensor]) -> TrialPrompt:
        """The prompt with an update's `prompt_draws` applied."""
        assert isinstance(self.tensors, PromptTensors)
        named = self.tensors.named()
        wet = {name: named[name] * factors for name, factors in draws.items()}
        return TrialPrompt(PromptTensors(**(named | wet)), self.deep_layers, self.is_infix)

    def candidate(self) -> Candidate:
        """The trial's current answering tensors, outside the graph."""
        assert isinstance(self.tensors, PromptTensors)
        prompt = TrialPrompt(self.mean or self.tensors.detached(), self.deep_layers, self.is_infix)
        return Candidate(prompt, self.verbalized, self.settings.max_source_units)

    def step(self, position: int, utterances: int) -> None:
        """Clip the gradient of one batch, and update. Never waits for the device.

        Args:
            position: of the batch in the stream.
            utterances: in the batch.
        """
        live = [tensor for tensor in self.named().values() if tensor.grad is not None]
        torch.nn.utils.clip_grad_norm_(live, MAX_GRAD_NORM)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.settings, self.utterances_seen, self.budget)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.updates += 1
        self.utterances_seen += utterances
        if self.mean is not None:
            update_mean(self.mean, self.tensors.named(), self.updates)
        if self.segments and sum(self.segments[-1]) == position:
            self.segments[-1][1] += 1
        else:
            self.segments.append([position, 1])

    def state(self) -> dict[str, Any]:
        """Everything that a resumed trial needs to reach the same losses, as plain tensors, numbers and lists."""
        last_step = {name: tensor.detach() for name, tensor in self.named().items()}
        return {
            "settings": asdict(self.settings),
            "units": self.verbalized.inputs.tolist(),
            "tensors": last_step if self.mean is None else self.mean.named(),  # the answering tensors
            "last_step": {} if self.mean is None else last_step,
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "updates": self.updates,
            "utterances_seen": self.utterances_seen,
            "segments": self.segments,
            "loss_sum": float(self.loss_sum),
            "scored": self.scored,
            "train_s": self.train_s,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the result of `state`; settings, seed and budget must be the same, which `load_state` checks.

        Raises:
            CheckpointError: the tensors belong to another LM or label space, or to labels of other units.
        """
        if (units := self.verbalized.inputs.tolist()) != state["units"]:
            raise CheckpointError(
                f"trial's saved state: expected the units {units!r:.60} for the labels, got {state['units']!r:.60}; "
                f"it was saved on a machine whose libraries take other units ({self.settings.verbalizer}); "
                f"go on there, or begin a new study"
            )
        own = self.named()
        if (wanted := _shapes(own)) != (got := _shapes(state["tensors"])):
            raise CheckpointError(
                f"trial's saved state: expected tensors {wanted}, got {got}; was it saved on another LM?"
            )
        last_step, answering = state["tensors"], {}
        if self.mean is not None:
            last_step, answering = state["last_step"], self.mean.named()
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(last_step[name])
            for name, tensor in answering.items():
                tensor.copy_(state["tensors"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.updates = state["updates"]
        self._restore_generator(state["generator"])
        self.utterances_seen = state["utterances_seen"]
        self.segments = state["segments"]
        self.loss_sum, self.scored = state.get("loss_sum", 0.0), state.get("scored", 0)
        self.train_s = state["train_s"]

    def _restore_generator(self, saved: Tensor) -> None:
        """Go on with the saved random draws, or with new ones if another kind of device has drawn them.

        A CPU and a GPU have different generators, so no draw can be continued on the other. The new draws follow from
        the trial's seed and its updates alone.
        """
        if saved.shape == self.generator.get_state().shape:
            self.generator.set_state(saved)
        else:
            self.generator.manual_seed(self.generator.initial_seed() + self.updates)


def new_trial(settings: TrialHParams, lm: UnitLM, units: tuple[int, ...], *, seed: int, budget: int) -> LiveTrial:
    """A trial that answers in units, before its first update: a prompt, or an LM to be fine-tuned.

    Args:
        settings: of the trial.
        lm: the frozen LM, on the device the trial runs on.
        units: the dictionary id of each label symbol, from its verbalizer.
        seed: of its initialisation and dropout.
        budget: utterances of a full run.
    """
    draw, layers = torch.Generator().manual_seed(seed), lm.architecture.layers
    if settings.prompt is not None:
        tensors, deep_layers = initial_tensors(settings.prompt, lm, draw), settings.prompt.deep_layers(layers)
    else:
        tensors, deep_layers = PromptTensors(lm.input_rows()[SEPARATOR].clone().requires_grad_()), range(0)
    own = own_copy(lm) if settings.method == "finetune" else None
    is_linear = settings.verbalizer == "linear"
    if is_linear:
        head = initial_head(units, lm.architecture, settings.head_init, draw)
        tensors.head = head.to(lm.device).requires_grad_()
    inert = tensors.inert(layers)
    for name in inert:
        getattr(tensors, name).requires_grad_(False)
    trained = [tensor for name, tensor in tensors.named().items() if name not in inert]
    if own is not None:
        trained += own_named(own).values()
    return LiveTrial(
        settings=settings,
        tensors=tensors,
        verbalized=LabelMap.of(units, linear=is_linear, device=lm.device, architecture=lm.architecture),
        optimizer=torch.optim.Adam(trained, lr=settings.lr, betas=ADAM_BETAS, fused=True),
        generator=torch.Generator(device=lm.device).manual_seed(seed + 1),
        deep_layers=deep_layers,
        budget=budget,
        own_lm=own,
        mean=new_mean(tensors) if settings.prompt is not None and settings.prompt.averaging else None,
    )


def new_probe_trial(settings: TrialHParams, tensors: ProbeTensors, *, seed: int, budget: int) -> LiveTrial:
    """A linear probe before its first update; it writes no units and draws nothing while it trains."""
    device = tensors.weight.device
    return LiveTrial(
        settings=settings,
        tensors=tensors,
        verbalized=LabelMap.of((), linear=False, device=device),
        optimizer=torch.optim.Adam([tensors.weight, tensors.bias], lr=settings.lr, betas=ADAM_BETAS, fused=True),
        generator=torch.Generator(device=device).manual_seed(seed + 1),
        deep_layers=range(0),
        budget=budget,
    )


def _shapes(named: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in sorted(named.items()))
