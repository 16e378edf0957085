"""The files that make an exported folder a model of MLflow's: MLmodel, the requirements, and an example of an input.

MLmodel says who loads the folder, with which LM, that lines are asked (units, paths of audio, or audio in base64),
and what an answer has. JSON is YAML too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

EXAMPLE, SERVED_EXAMPLE = "input_example.json", "serving_input_example.json"
REQUIREMENTS, ENVIRONMENT = "requirements.txt", "python_env.yaml"
_NEEDED = {"sp_search": "sp-search", "torch": "torch", "mlflow": "mlflow"}
"""What answers, by its name in a document's versions; the rest comes along."""
_INPUTS = [{"type": "string", "required": True}]
_OUTPUTS = [
    {"type": "string", "name": "id", "required": True},
    {"type": "array", "items": {"type": "string"}, "name": "labels", "required": True},
    {"type": "double", "name": "score", "required": True},
]
_PARAMS = [{"name": "top", "type": "long", "default": 1, "shape": None}]


def mlflow_files(document: Mapping[str, Any]) -> dict[str, str]:
    """The texts of all of them by name; without an example where the document has none."""
    found = {
        "MLmodel": _json(_mlmodel(document)),
        REQUIREMENTS: "".join(f"{line}\n" for line in _requirements(document["versions"])),
        ENVIRONMENT: _json({"python": document["versions"]["python"], "dependencies": [f"-r {REQUIREMENTS}"]}),
    }
    if "example" in document:
        found[EXAMPLE] = _json([document["example"]])
        found[SERVED_EXAMPLE] = _json({"inputs": [document["example"]]})
    return found


def _mlmodel(document: Mapping[str, Any]) -> dict[str, Any]:
    flavour = {
        "loader_module": "sp_search.export.mlflow_model",
        "python_version": document["versions"]["python"],
        "env": {"virtualenv": ENVIRONMENT},
        "config": _config(document["lm"]),
    }
    signature = {"inputs": json.dumps(_INPUTS), "outputs": json.dumps(_OUTPUTS), "params": json.dumps(_PARAMS)}
    whole = {
        "flavors": {"python_function": flavour},
        "mlflow_version": document["versions"]["mlflow"],
        "signature": signature,
    }
    if "example" in document:
        example = {"artifact_path": EXAMPLE, "serving_input_path": SERVED_EXAMPLE, "type": "json_object"}
        whole["saved_input_example_info"] = example
    return whole


def _config(lm: Mapping[str, Any]) -> dict[str, Any]:
    """What a caller may say otherwise. An LM of one's own is named by its path on the machine of the search."""
    config = {"lm": lm.get("path", lm["name"]), "cache": None, "device": "auto", "dtype": "auto"}
    return config | ({"lm_tokens": lm["tokens"]} if "tokens" in lm else {})


def _requirements(versions: Mapping[str, str]) -> list[str]:
    """Pinned to what the folder was made with, without what a build adds to its version: `2.13.0+cpu`."""
    known = {name: versions.get(key, "unknown").partition("+")[0] for key, name in _NEEDED.items()}
    return [name if version == "unknown" else f"{name}=={version}" for name, version in known.items()]


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
