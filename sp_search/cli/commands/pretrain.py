"""Train a unit LM on your own units with fairseq's trainer. Run it again to continue up to `updates`.

corpus= is a file of utterances in units, labelled or not, in any form that a search takes, or a folder with a train
and a valid file, as sp-search prepare makes it. to= is the folder for the LM; a search takes it as lm=FOLDER. Units
are numbers, unless dictionary= names a dict.txt. The default shape is that of the published unit LMs, with 151
million weights, and needs GPUs; all are used. For a CPU, use layers=4 embed_dim=128 ffn_embed_dim=512
attention_heads=4.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch

from sp_search.config import Settings, refuse
from sp_search.engine.runtime.device import pick_device
from sp_search.errors import DataError
from sp_search.files.paths import check_writable, is_there
from sp_search.files.write import write_text
from sp_search.host import cores
from sp_search.pretrain.databin import Source
from sp_search.pretrain.pretrain import pretrain
from sp_search.pretrain.recipe import Recipe
from sp_search.progress_line import ProgressLine
from sp_search.tracking.base.provenance import versions
from sp_search.units.dictionary import Dictionary
from sp_search.units.manifest import split_file
from sp_search.units.partners import check_origins, corpus_origin, units_record
from sp_search.units.prepare import META
from sp_search.units.repeats import CLEAR

READS = (
    "engine.device",
    "engine.dtype",
    "engine.threads",
)
EXAMPLE = "sp-search pretrain corpus=units/my to=lms/my layers=4 embed_dim=128 ffn_embed_dim=512 attention_heads=4"


@dataclass(frozen=True, kw_only=True)
class PretrainSettings(Settings):
    """The corpus, the folder for the LM, and the recipe."""

    corpus: Path  # a file of utterances in units, or a folder with a train and a valid file
    to: Path  # the folder for the LM; a search takes it as lm=FOLDER
    valid: Path | None = None  # a file to measure on; null = the folder's valid file, or a share of the file
    valid_share: float = (
        0.01  # share of the utterances to measure on, drawn at random, where there is no file for that
    )
    dictionary: Path | None = None  # a dict.txt of the units; null = units are numbers
    layers: int = 12  # number of layers
    embed_dim: int = 1024  # width of a layer's states
    ffn_embed_dim: int = 4096  # width inside a layer's feed-forward part
    attention_heads: int = 16  # heads in each layer; embed_dim is a multiple of it
    max_positions: int = 3072  # longest sequence, in units; longer utterances are cut
    dropout: float = 0.1  # in every layer, 0 <= dropout < 1
    lr: float = 5.0e-4  # highest learning rate; after the warm-up it falls with the inverse square root
    warmup_updates: int = 4000  # updates in which the learning rate rises to lr
    updates: int = 100_000  # in total; a run that is started again goes on to this number
    batch_tokens: int = 131_072  # units in an update, over all devices
    pass_tokens: int = 8192  # units that a device computes at once
    valid_every: int = 1000  # updates between two measurements on valid; the LM is saved at each
    seed: int = 0  # of the first weights and of the order of the batches

    def __post_init__(self) -> None:
        super().__post_init__()
        recipe_of(self)
        inside = 0 < self.valid_share < 1
        refuse([] if inside else [f"valid_share: expected above 0 and below 1, got {self.valid_share}"])


def run(config: PretrainSettings) -> int:
    """Train, and print the path of the folder."""
    check_writable(config.to, "to", make=False)
    source, corpus = source_of(config), folder_of(config.corpus)
    others = {folder_of(config.valid)} - {corpus} if config.valid else set()
    shown = ProgressLine()
    for line in check_origins(corpus_origin(corpus), *map(corpus_origin, others)):
        shown.say(line)
    torch.set_num_threads(config.engine.threads or cores())
    recipe, gpus, dtype = recipe_of(config), gpus_of(config), config.engine.dtype
    done = pretrain(
        recipe,
        source,
        config.to,
        gpus=gpus,
        bfloat16=dtype == "bfloat16" or (dtype == "auto" and gpus > 0),
        shown=shown,
    )
    repeats = done.data.repeats
    if abs(repeats["train"] - repeats["valid"]) > CLEAR:
        shown.say(
            f"{config.corpus}: {repeats['train']:.0%} of neighbouring units are the same unit in train, "
            f"{repeats['valid']:.0%} in valid: make both with repeats, or none"
        )
    meta = {
        "corpus": str(config.corpus),
        **units_record(corpus, repeats["train"]),
        "recipe": asdict(recipe),
        **asdict(done),
        "versions": versions(),
    }
    write_text(config.to / META, json.dumps(meta, indent=2) + "\n")
    print(config.to)
    return 0


def folder_of(path: Path) -> Path:
    """The folder that holds a file's `meta.json`, or the folder itself."""
    return path if is_there(path, DataError) and path.is_dir() else path.parent


def recipe_of(config: PretrainSettings) -> Recipe:
    """The recipe: shape and training.

    Raises:
        ConfigError: a number is out of range.
    """
    return Recipe(**{field.name: getattr(config, field.name) for field in fields(Recipe)})


def source_of(config: PretrainSettings) -> Source:
    """The files to train and measure on.

    Raises:
        DataError: the folder has no train file, or none to measure on; or the dictionary is bad.
    """
    train, valid = config.corpus, config.valid
    if is_there(config.corpus, DataError) and config.corpus.is_dir():
        train = split_file(config.corpus, "train")
        valid = valid or split_file(config.corpus, "valid")
    return Source(
        train=train,
        valid=valid,
        valid_share=config.valid_share,
        dictionary=Dictionary.load(config.dictionary) if config.dictionary else None,
    )


def gpus_of(config: PretrainSettings) -> int:
    """How many GPUs to train on; 0 = the CPU.

    Raises:
        ConfigError: engine.device=cuda on a machine without GPUs.
    """
    if pick_device(config.engine.device).type == "cpu":
        return 0
    return torch.cuda.device_count()
