"""The page of an exported folder, for people: what it is, how good, how it is used, and what it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sp_search.published.catalogue import LMS
from sp_search.rivals.words import KINDS, together
from sp_search.tasks.label_space import LabelSpace
from sp_search.tasks.registry import get_task

SHOWN_ANSWERS = 12
"""Answers that the page names."""


def readme(document: Mapping[str, Any]) -> str:
    """The page beside the tensors; its lines can be pasted in the folder as they are, but for the LM's own path."""
    lm, data, members = document["lm"], document["data"], document["members"]
    counted = _counted(members)
    return f"""# {counted[0].upper()}{counted[1:]} for {_task(document)}

{_working(members)} the unit LM `{lm["name"]}` (fingerprint `{lm["fingerprint"][:12]}`)
do the task `{_task(document)}`. The training data was `{data["name"]}` (fingerprint `{data["fingerprint"][:12]}`).
{_answers(document)}

The LM reads speech as units: numbers, each for a short piece of sound. Other LMs and other units do not fit.

{_use(document)}
## How good it is

{_metrics(document)}
{_parts(document.get("parts", {}))}
## What it needs

{_needs(document)}
## What it was trained with

{_settings(members)}
"""


def _use(document: Mapping[str, Any]) -> str:
    lm, data, takes_audio = document["lm"]["name"], document["data"]["name"], document["quantizer_fingerprint"]
    given, utterance = ("clip.wav", "clip.wav") if takes_audio else ("units.txt", "71 12 57")
    asked = "lines of units and paths of audio" if takes_audio else "lines of units"
    what = "`clip.wav` is a recording of any rate" if takes_audio else "`units.txt` has a line of units an utterance"
    return f"""## Use it

Install sp_search ([what it needs](#what-it-needs)), go to this folder, and paste. {what}. In a shell:

    sp-search predict prompt=. lm={lm} input={given}
    sp-search evaluate prompt=. lm={lm} data={data} split=test

In Python:

    import sp_search
    prompt = sp_search.load(".", lm="{lm}")
    print(prompt.predict("{utterance}"))

MLflow loads the folder too: `mlflow.pyfunc.load_model(".", model_config={{"lm": "{lm}"}})` answers {asked}.
"""


def _needs(document: Mapping[str, Any]) -> str:
    name, versions = document["lm"]["name"], document["versions"]
    if name == "demo":
        of_lm = f"The LM `{name}` comes with sp_search."
    elif name in LMS:
        of_lm = f"The LM `{name}` is published: sp_search downloads it once. Its licence: {LMS[name].licence}."
    else:
        of_lm = f"The LM `{name}` is not published: get its folder from who made this prompt, and type `lm=ITS_PATH`."
    known = ", ".join(f"{library} {versions[library]}" for library in ("sp_search", "torch") if library in versions)
    return f"""- Linux and Python 3.11 or 3.12; a CPU is enough. `pip install PATH` installs the project or its wheel.
- {of_lm}
- It was made with Python {versions["python"]}{f", {known}" if known else ""}.
- The licence of this prompt is for its makers to choose: put it beside this page.
"""


def _metrics(document: Mapping[str, Any]) -> str:
    intervals = {("test", name): pair for name, pair in document.get("intervals", {}).items()}
    rows = [
        f"| {split} | {name} | {value:.4f} | {_interval(intervals.get((split, name)))} |"
        for split, of_split in document["metrics"].items()
        for name, value in of_split.items()
    ]
    return "\n".join(["| split | metric | value | 95 % interval |", "| --- | --- | --- | --- |", *rows])


def _counted(members: Sequence[Mapping[str, Any]]) -> str:
    """`prompt`, or `3 prompts and 1 linear probe`."""
    methods = [member["params"].get("method", "prompt") for member in members]
    return together(methods) if len(methods) > 1 else KINDS[methods[0]][0]


def _working(members: Sequence[Mapping[str, Any]]) -> str:
    if len(members) == 1:
        return f"This {_counted(members)} makes"
    return f"These {_counted(members)} answer together, by the weighted mean of their log-probabilities. They make"


def _task(document: Mapping[str, Any]) -> str:
    """The task's name; of one with a label an utterance, the name of the label's column."""
    return str(document["answers"]["field"] if document["task"] == "label" else document["task"])


def _answers(document: Mapping[str, Any]) -> str:
    """What it may answer."""
    space, task = LabelSpace.from_json(document["label_space"]), get_task(document["task"], **document["answers"])
    known = [" ".join(space.words(answer, task)) for answer in space.answers]
    if task.decoding == "free" or not known:
        return "It writes its answers symbol by symbol."
    shown = ", ".join(f"`{answer}`" for answer in known[:SHOWN_ANSWERS])
    more = f", and {len(known) - SHOWN_ANSWERS} more in `prompt.json`" if len(known) > SHOWN_ANSWERS else ""
    return f"It gives one of {len(known)} answers: {shown}{more}."


def _settings(members: Sequence[Mapping[str, Any]]) -> str:
    """A table of the members' settings, a column each."""
    names = list(dict.fromkeys(name for member in members for name in member["params"]))
    rows = [["share", *(f"{member['share']:.3g}" for member in members)]] if len(members) > 1 else []
    rows += [[name, *(str(member["params"].get(name, "")) for member in members)] for name in names]
    titles = [f"member {i + 1}" for i in range(len(members))] if len(members) > 1 else ["value"]
    lines = [["setting", *titles], ["---"] * (len(members) + 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _interval(pair: Sequence[float] | None) -> str:
    return "" if pair is None else f"{pair[0]:.4f} to {pair[1]:.4f}"


def _parts(parts: Mapping[str, Mapping[str, int]]) -> str:
    """What metrics of a part are of; empty where the corpus isn't parted."""
    sizes = [f"{of_split['heard']:,} and {of_split['new']:,} in {split}" for split, of_split in parts.items()]
    if not sizes:
        return ""
    return f"\nTraining has the answers of `_heard` and lacks those of `_new`: {', '.join(sizes)} utterances.\n"
