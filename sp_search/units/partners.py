"""Whether corpus, LM and prompt speak of the same units: made by one quantizer, reduced or not alike.

Each may know what made its units: a corpus and an LM of ours by their `meta.json`, a prompt by its document, a
published LM by its name. Two that differ don't belong together; where only one knows, a line says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sp_search.errors import CheckpointError
from sp_search.published.catalogue import LMS, QUANTIZERS, UNITS
from sp_search.units.prepare import meta_in
from sp_search.units.quantizer import EncoderFeatures, Quantizer

ANY = "any"
"""Stands for an LM that was trained on nothing, and so on no quantizer's units."""


@dataclass(frozen=True, kw_only=True)
class UnitOrigin:
    """What is known of how somebody's units were made; what is not known is empty."""

    who: str  # "the corpus PATH", "the LM NAME", "the prompt PATH"
    fingerprint: str = ""  # of the quantizer, hex; ANY where units do not matter
    published: str = ""  # the quantizer's name in the catalogue: hubert100
    is_own: bool = False  # clusters found on the corpus itself, which are nobody else's
    features: str = ""  # what frames were of: hubert, cpc, w2v2, fbank, mfcc
    clusters: int = 0
    repeats: float | None = None  # share of neighbouring units that are equal

    @property
    def told(self) -> str:
        """The quantizer in a few words."""
        if self.fingerprint:
            return f"quantizer {self.fingerprint[:12]}"
        return f"quantizer {self.published or f'of {self.clusters} clusters on {self.features}'}"

    @property
    def is_known(self) -> bool:
        """Whether there is anything to compare."""
        return bool(self.fingerprint or self.published)


def corpus_origin(folder: Path | None, quantizer: Quantizer | None = None) -> UnitOrigin:
    """What made a corpus's units, by the `meta.json` in its folder.

    Args:
        folder: of the splits; None for a corpus that is built in.
        quantizer: that made them, where it is at hand, as that of the built-in corpus.
    """
    if folder is None:
        return _of_quantizer("the corpus", quantizer)
    return _of_meta(f"the corpus {folder}", meta_in(folder))


def lm_origin(name: str, path: Path | None, built_in: Quantizer | None = None) -> UnitOrigin:
    """What made the units that an LM was trained on.

    Args:
        name: of the LM, as `lm=` takes it.
        path: of its checkpoint or folder; None where the name says it all.
        built_in: what made the units of the LM that is built in, `demo`.
    """
    who = f"the LM {name}"
    if path is not None:
        return _of_meta(f"the LM {path}", meta_in(path if path.is_dir() else path.parent))
    if name in LMS:
        units = LMS[name].units
        kind, clusters = UNITS[units]
        return UnitOrigin(who=who, published=units, features=kind, clusters=clusters, repeats=0.0)
    if name.startswith("random:"):
        return UnitOrigin(who=who, fingerprint=ANY)
    return _of_quantizer(who, built_in)


def prompt_origin(folder: Path, document: Mapping[str, Any], quantizer: Quantizer | None = None) -> UnitOrigin:
    """What made the units that an exported prompt was trained on.

    Args:
        folder: the exported folder.
        document: its `prompt.json`, of which `quantizer_fingerprint` and `units.repeats` are read.
        quantizer: that is in the folder, where it has one.
    """
    units = document.get("units")
    repeats = units.get("repeats") if isinstance(units, Mapping) else None
    known = _of_quantizer(f"the prompt {folder}", quantizer)
    return UnitOrigin(
        who=known.who,
        fingerprint=str(document.get("quantizer_fingerprint") or ""),
        features=known.features,
        clusters=known.clusters,
        repeats=repeats if isinstance(repeats, int | float) else None,
    )


def check_origins(*origins: UnitOrigin) -> list[str]:
    """Compare all that know what made their units.

    Returns:
        A line, to be said on stderr, for each that does not know it while another one does.

    Raises:
        CheckpointError: two were made by different quantizers.
    """
    compared = [origin for origin in origins if origin.fingerprint != ANY]
    known = [origin for origin in compared if origin.is_known]
    for i, one in enumerate(known):
        for other in known[i + 1 :]:
            if _differ(one, other):
                raise CheckpointError(
                    f"{other.who}: expected units of the {one.told}, as {one.who} has them, got units of the "
                    f"{other.told}; a unit's number means another sound there: take a partner of the same quantizer"
                )
    if not known:
        return []
    return [
        f"{origin.who} does not say which quantizer made its units, and {known[0].who} says {known[0].told}: "
        f"make sure that they are of the same one"
        for origin in compared
        if not origin.is_known
    ]


def _differ(one: UnitOrigin, other: UnitOrigin) -> bool:
    """Whether two that know are surely of different quantizers: one may know a fingerprint, the other a name."""
    if one.fingerprint and other.fingerprint:
        return one.fingerprint != other.fingerprint
    if one.published and other.published:
        return one.published != other.published
    if (one.is_own and other.published) or (other.is_own and one.published):
        return True
    facts = ((one.features, other.features), (one.clusters, other.clusters))
    return any(a and b and a != b for a, b in facts)


def _of_quantizer(who: str, quantizer: Quantizer | None) -> UnitOrigin:
    if quantizer is None:
        return UnitOrigin(who=who)
    features = quantizer.features
    kind = features.settings.kind if isinstance(features, EncoderFeatures) else features.kind
    return UnitOrigin(
        who=who,
        fingerprint=quantizer.fingerprint,
        features=_kind(kind),
        clusters=len(quantizer.centroids),
        repeats=0.0,
    )


def _of_meta(who: str, meta: Mapping[str, Any]) -> UnitOrigin:
    """Of what `prepare` or `pretrain` wrote; anything that is not of its form is not known."""
    units = meta.get("units")
    units = units if isinstance(units, Mapping) else {}
    features, count, named = units.get("features"), units.get("count"), units.get("quantizer")
    features = features if isinstance(features, Mapping) else {}
    settings = features.get("settings")
    kind = (settings if isinstance(settings, Mapping) else features).get("kind")
    repeats = units.get("repeats")
    return UnitOrigin(
        who=who,
        fingerprint=str(meta.get("quantizer_fingerprint") or ""),
        published=named if isinstance(named, str) and named in QUANTIZERS else "",
        is_own="quantizer" in units and named is None,
        features=_kind(kind) if isinstance(kind, str) else "",
        clusters=count if isinstance(count, int) else 0,
        repeats=repeats if isinstance(repeats, int | float) else None,
    )


def _kind(kind: str) -> str:
    """The catalogue's word for features; its log-mel is our filter bank."""
    return "logmel" if kind == "fbank" else kind


def units_record(folder: Path, repeats: float) -> dict[str, Any]:
    """What the `meta.json` of an LM says of the corpus it was trained on, for `lm_origin` to read.

    Args:
        folder: of the corpus.
        repeats: share of its neighbouring units that are equal.
    """
    meta = meta_in(folder)
    units = meta.get("units")
    return {
        "quantizer_fingerprint": meta.get("quantizer_fingerprint"),
        "units": {**(units if isinstance(units, Mapping) else {}), "repeats": round(repeats, 6)},
    }
