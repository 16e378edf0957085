"""What a pack needs of a corpus: its splits, its label space, and the verbalizer a trial asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sp_search.engine.settings import TrialSettings
from sp_search.lm.architecture import UnitLM
from sp_search.tasks.label_space import LabelSpace
from sp_search.tasks.verbalizers import Verbalizer, build_verbalizer
from sp_search.types import Corpus, Split
from sp_search.units.dictionary import Dictionary
