"""The `config.json` of a folder in the `transformers` format: read as plain JSON, what can't be run refused by name.

Nothing in the folder is ever executed, and `transformers` is not imported. A value that the file leaves out has the
default of its model type (transformers 5.24, `configuration_*.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sp_search.errors import CheckpointError
from sp_search.files.paths import is_there
from sp_search.units.transformers_folder import CONFIG, read_json, unreadable_parts

WRAPPER = "speech_language_model"
"""SlamKit's model type: the real one is inside, under `base_config`, and its weights' names begin with `lm.`."""

_LLAMA: Mapping[str, Any] = {
    "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": None, "head_dim": None, "hidden_act": "silu", "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6, "tie_word_embeddings": False, "attention_bias": False, "mlp_bias": False,
    "sliding_window": None, "use_sliding_window": True, "vocab_size": 32000,
    "pad_token_id": None, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
_QWEN: Mapping[str, Any] = {
    **_LLAMA, "intermediate_size": 22016, "num_key_value_heads": 32, "max_position_embeddings": 32768,
    "sliding_window": 4096, "use_sliding_window": False, "vocab_size": 151936,
    "bos_token_id": None, "eos_token_id": None,
}  # fmt: skip
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "opt": {
        "hidden_size": 768, "ffn_dim": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
        "max_position_embeddings": 2048, "do_layer_norm_before": True, "_remove_final_layer_norm": False,
        "word_embed_proj_dim": None, "activation_function": "relu", "enable_bias": True,
        "layer_norm_elementwise_affine": True, "tie_word_embeddings": True, "vocab_size": 50272,
        "pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 2,
    },
    "gpt2": {
        "n_embd": 768, "n_inner": None, "n_layer": 12, "n_head": 12, "n_positions": 1024,
        "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False, "add_cross_attention": False, "tie_word_embeddings": True,
        "vocab_size": 50257, "pad_token_id": None, "bos_token_id": 50256, "eos_token_id": 50256,
    },
    "gpt_neox": {
        "hidden_size": 6144, "intermediate_size": 24576, "num_hidden_layers": 44, "num_attention_heads": 64,
        "hidden_act": "gelu", "max_position_embeddings": 2048, "layer_norm_eps": 1e-5, "use_parallel_residual": True,
        "attention_bias": True, "rotary_pct": 0.25, "rotary_emb_base": 10000, "tie_word_embeddings": False,
        "vocab_size": 50432, "pad_token_id": None, "bos_token_id": 0, "eos_token_id": 2,
    },
    "llama": _LLAMA,
    "mistral": {
        **_LLAMA, "intermediate_size": 14336, "num_key_value_heads": 8, "max_position_embeddings": 4096 * 32,
        "sliding_window": 4096,
    },
    "qwen2": _QWEN,
    "qwen3": {**_QWEN, "head_dim": 128},
}  # fmt: skip
"""What each known model type has where its config is silent."""

_NEVER: Mapping[str, str] = {
    "num_local_experts": "a mixture of experts",
    "num_experts": "a mixture of experts",
    "final_logit_softcapping": "capped logits",
    "attn_logit_softcapping": "capped attention scores",
}
"""Keys of an LM that must be absent or null, and what they say of it."""


class ModelConfig:
    """The settings of a causal LM, the wrapper taken off, with the defaults of its type."""

    def __init__(self, given: Mapping[str, Any], prefix: str, place: Path) -> None:
        """`given` as the file has it; `prefix` is what the weights' names begin with."""
        self.given, self.prefix, self.place = given, prefix, place
        self.model_type = str(given["model_type"])
        self._known = {**DEFAULTS[self.model_type], **given}

    def __getitem__(self, name: str) -> Any:
        return self._known[name]

    def number(self, name: str) -> int:
        """A setting that must be a positive number.

        Raises:
            CheckpointError: it is not.
        """
        value = self._known[name]
        if type(value) is not int or value < 1:
            raise CheckpointError(f"{self.place}: expected {name} of 1 or more, got {value!r}")
        return value

    def refuse_unless(self, **wanted: Any) -> None:
        """Refuse settings that the engine can't compute exactly.

        Raises:
            CheckpointError: a setting has another value; all of them are named.
        """
        faults = [
            f"{name}: expected {value}, got {self._known[name]}"
            for name, value in wanted.items()
            if self._known.get(name, value) != value
        ]
        if faults:
            raise CheckpointError(f"{self.place}: expected an LM that this engine runs exactly; {'; '.join(faults)}")


def has_config(folder: Path) -> bool:
    """Whether a folder is in the `transformers` format, or is one of its adapters.

    Raises:
        CheckpointError: it may not be looked into.
    """
    found = (folder / name for name in (CONFIG, "adapter_config.json"))
    return any(is_there(path, CheckpointError) and path.is_file() for path in found)


def read_config(folder: Path) -> ModelConfig:
    """Read a folder's config.

    Raises:
        CheckpointError: it is an adapter, is no JSON, has a model type that is not known, or says something that the
            engine can't compute exactly.
    """
    place = folder / CONFIG
    if not place.is_file():
        raise CheckpointError(
            f"{folder}: expected a whole LM, got an adapter alone (adapter_config.json without {CONFIG}); merge it "
            f"into its LM (peft: merge_and_unload) and save that"
        )
    outer = read_json(place)
    given, prefix = outer, ""
    if outer.get("model_type") == WRAPPER:
        inner, prefix = outer.get("base_config"), "lm."
        if not isinstance(inner, dict):
            raise CheckpointError(f"{place}: expected the inner model's settings in base_config, got {inner!r:.80}")
        given = {**inner, **{name: outer[name] for name in ("vocab_size", "tie_word_embeddings") if name in outer}}
    for settings in (outer, given):
        _refuse_unknown_parts(settings, place)
    if given.get("model_type") not in DEFAULTS:
        known = ", ".join([*DEFAULTS, WRAPPER])
        raise CheckpointError(f"{place}: expected model_type {known}, got {given.get('model_type')!r}")
    config = ModelConfig(given, prefix, place)
    _refuse_scaled_rotation(config)
    return config


def rotation_settings(config: ModelConfig) -> Mapping[str, Any]:
    """What the config says of rotary positions, in its newer form or an older one."""
    found: dict[str, Any] = {}
    for name in ("rope_scaling", "rope_parameters"):
        if isinstance(config.given.get(name), dict):
            found |= config.given[name]
    for name in ("rope_theta", "partial_rotary_factor"):
        if name not in found and name in config.given:
            found[name] = config.given[name]
    return found


def _refuse_unknown_parts(settings: Mapping[str, Any], place: Path) -> None:
    if faults := unreadable_parts(settings, _NEVER):
        raise CheckpointError(f"{place}: expected an LM that this engine runs exactly, got {'; '.join(faults)}")


def _refuse_scaled_rotation(config: ModelConfig) -> None:
    for name in ("rope_scaling", "rope_parameters"):
        found = config.given.get(name)
        kind = found.get("rope_type", found.get("type", "default")) if isinstance(found, dict) else "default"
        if kind != "default":
            raise CheckpointError(
                f"{config.place}: expected an LM that this engine runs exactly, got scaled rotary positions "
                f"({name}, type {kind!r})"
            )
