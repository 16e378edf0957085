"""Documents for property tests: any JSON value, and a sound document of which one piece is another or gone."""

import math
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

ODD = (
    None,
    True,
    0,
    -1,
    1.5,
    1e308,
    10**400,
    math.nan,
    -math.inf,
    "",
    " ",
    "\u2028",
    [],
    {},
    [1],
    [[]],
    {"a": {}},
    [None],
)
VALUES = st.sampled_from(ODD) | st.integers() | st.text(max_size=3)
"""JSON values that nobody expects; NaN and infinities too, which Python's own writer writes."""
GONE = object()


@st.composite
def changed(draw: st.DrawFn, sound: Any) -> Any:
    """The document with one of its pieces, at any depth, in place of another value, or left out."""
    document = deepcopy(sound)
    place = draw(st.sampled_from(_places(document)))
    value = draw(VALUES | st.just(GONE))
    if not place:
        return None if value is GONE else value
    inside = document
    for key in place[:-1]:
        inside = inside[key]
    if value is GONE:
        del inside[place[-1]]
    else:
        inside[place[-1]] = value
    return document


def _places(document: Any) -> list[tuple[Any, ...]]:
    """The keys that lead to every piece, the whole first."""
    found: list[tuple[Any, ...]] = [()]
    inner = document.items() if isinstance(document, Mapping) else ()
    inner = enumerate(document) if isinstance(document, list) else inner
    for key, value in inner:
        found += [(key, *place) for place in _places(value)]
    return found
