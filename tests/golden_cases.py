"""The papers' public code on a 3-layer, width-32 model: its weights as a UnitLM, its cases as engine input."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sp_search.engine.batch.collate import SourceBatch, collate_sources
from sp_search.engine.prompted.target_block import TargetBlock
from sp_search.lm.architecture import Architecture
from sp_search.lm.unit_lm import UnitLM
from sp_search.prompts.tensors import PromptTensors
from sp_search.types import PAD, SEPARATOR

FOLDER = Path(__file__).parent / "golden"
CASES = sorted(path.stem for path in FOLDER.glob("v*.npz"))
NAMES = {"prefix_embed_prompts": "prefix", "infix_embed_prompts": "infix", "sep_embed": "separator"}


def golden_lm() -> UnitLM:
    arrays = {name: torch.from_numpy(a) for name, a in np.load(FOLDER / "unit_lm_weights.npz").items()}
    layers = 1 + max(int(name.split(".")[2]) for name in arrays if name.startswith("decoder.layers."))
    tensors = {
        "embedding": arrays["decoder.embed_tokens.weight"],
        "final_norm_weight": arrays["decoder.layer_norm.weight"],
        "final_norm_bias": arrays["decoder.layer_norm.bias"],
    }
    for i in range(layers):
        old, new = f"decoder.layers.{i}", f"layers.{i}"
        for kind in ("weight", "bias"):
            tensors[f"{new}.qkv_{kind}"] = torch.cat([arrays[f"{old}.self_attn.{p}_proj.{kind}"] for p in "qkv"])
            tensors[f"{new}.out_{kind}"] = arrays[f"{old}.self_attn.out_proj.{kind}"]
            tensors[f"{new}.attn_norm_{kind}"] = arrays[f"{old}.self_attn_layer_norm.{kind}"]
            tensors[f"{new}.ffn_norm_{kind}"] = arrays[f"{old}.final_layer_norm.{kind}"]
            tensors[f"{new}.fc1_{kind}"] = arrays[f"{old}.fc1.{kind}"]
            tensors[f"{new}.fc2_{kind}"] = arrays[f"{old}.fc2.{kind}"]
    vocab, width = tensors["embedding"].shape
    architecture = Architecture(
        layers=layers, embed_dim=width, ffn_embed_dim=len(tensors["layers.0.fc1_bias"]), attention_heads=4,
        vocab_size=vocab, max_positions=64,
    )  # fmt: skip
    return UnitLM.from_tensors(architecture, tensors, "golden")


@dataclass
class GoldenCase:
    """One case; row i of logits, targets and scored belongs to utterance i."""

    tensors: PromptTensors
    grads: dict[str, Tensor]
    block: SourceBatch
    answers: TargetBlock
    targets: Tensor  # (B, 2 + M), PAD-filled
    logits: Tensor  # (B, 2 + M, V): the case's logits at the scored rows
    loss: Tensor  # (), summed

    @property
    def is_infix(self) -> bool:
        return self.tensors.keys is not None and self.tensors.infix is not None


def golden_case(name: str) -> GoldenCase:
    arrays = {key: torch.from_numpy(np.asarray(a)) for key, a in np.load(FOLDER / f"{name}.npz").items()}
    tensors = _prompt(arrays, "param/")
    sources, answers = [], []
    for row in arrays["target"].tolist():
        kept = [token for token in row if token != PAD]
        at = kept.index(SEPARATOR)
        sources.append(np.array(kept[:at], dtype=np.int32))
        answers.append(kept[at:])  # <s> a1 .. aM </s>
    count = max(map(len, answers))
    prompt_rows = sum(len(rows) for rows in (tensors.prefix, tensors.infix) if rows is not None)
    logits = []
    for source, answer in zip(sources, answers, strict=True):
        end = prompt_rows + len(source) + len(answer)
        logits.append(arrays["logits"][len(logits), end - len(answer) : end])
    block = collate_sources(sources, max_units=0, device=torch.device("cpu"))
    depth = torch.arange(count - 1)
    return GoldenCase(
        tensors=PromptTensors(**{k: t.requires_grad_() for k, t in tensors.named().items()}),
        grads=_prompt(arrays, "grad/").named(),
        block=block,
        answers=TargetBlock(
            tokens=torch.tensor([answer[1:-1] for answer in answers])[None],
            depth=depth,
            visible=torch.ones(count - 1, count - 1, dtype=torch.bool).tril(),
            predicts_separator=True,
        ),
        targets=torch.tensor(answers),
        logits=torch.stack(logits),
        loss=arrays["loss"],
    )


def _prompt(arrays: dict[str, Tensor], kind: str) -> PromptTensors:
    found: dict[str, Tensor] = {}
    deep: dict[str, dict[int, Tensor]] = {"keys": {}, "values": {}}
    for key, array in arrays.items():
        if not key.startswith(kind):
            continue
        parts = key.split("/")[1].split(".")
        if parts[1].startswith("deep_"):
            deep["keys" if "key" in parts[1] else "values"][int(parts[2])] = array
        elif parts[1] == "prompt_linear_verbalizer":
            found["head"] = array
        else:
            found[NAMES[parts[1]]] = array
    for name, rows in deep.items():
        if rows:
            found[name] = torch.stack([rows[i] for i in sorted(rows)])
    found["separator"] = found["separator"][0]
    return PromptTensors(**found)
