"""A small trial, trained and exported, with the pack that trained it."""

from dataclasses import dataclass
from pathlib import Path

from sp_search.engine.train.trainer import MultiTrialTrainer
from sp_search.engine.trial.task_data import TaskData
from sp_search.export.folder import of_task, write_export
from sp_search.lm.unit_lm import UnitLM
from sp_search.types import Member, Params
from sp_search.units.quantizer import Quantizer
from tests.tiny import tiny_data, tiny_lm, tiny_trainer

DEEP = dict(prompt_length=3, depth=2, lr=0.03)


@dataclass
class Winner:
    """An exported trial and where it came from."""

    folder: Path
    member: Member
    trainer: MultiTrialTrainer
    lm: UnitLM
    data: TaskData
    document: dict


def train_and_export(
    folder: Path,
    params: Params,
    quantizer: Quantizer | None = None,
    lm: UnitLM | None = None,
    data: TaskData | None = None,
) -> Winner:
    lm, data = lm or tiny_lm(), data or tiny_data()
    trainer = tiny_trainer(lm=lm, data=data, chunk_updates=20)
    trainer.add(0, params, seed=0, budget=10**6)
    trainer.advance([0], {0: 0})
    trainer.save(0, folder / "state")
    document = {
        **of_task(data.task, data.space),
        "lm": {"name": "tiny", "fingerprint": lm.fingerprint},
        "data": {"name": "tiny", "fingerprint": data.corpus.fingerprint},
        "dictionary_fingerprint": data.dictionary.fingerprint,
        "metrics": {"valid": {"accuracy": 0.5}, "test": trainer.evaluate([0], "test")[0]},
        "versions": {"python": "3.11.7", "mlflow": "3.17.2"},
    }
    member = Member(share=1.0, trial=0, seed=0, params=params, budget=10**6, state=folder / "state")
    write_export(folder / "best", [member], document, quantizer)
    return Winner(folder / "best", member, trainer, lm, data, document)
