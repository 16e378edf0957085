"""Who keeps the events of a search for MLflow, as the settings say."""

from __future__ import annotations

from sp_search.cli.wiring.planned import lines, planned_search
from sp_search.cli.wiring.search_setup import PreparedSearch
from sp_search.config import Settings
from sp_search.files.write import write_text
from sp_search.tracking.api.tracker import MlflowTracker
from sp_search.tracking.base.uri import default_uri

PLAN = "plan.txt"
"""In a tracked study's folder and among the files of its run: what the last start was to do."""


def tracker_of(config: Settings, prepared: PreparedSearch, *, is_new: bool) -> MlflowTracker | None:
    """The tracker of a search, with the plan as its first file; None where the settings want none.

    Args:
        config: of the search.
        prepared: the same, checked.
        is_new: whether the study has no trials yet.

    Raises:
        ConfigError: MLflow has no such kind of store.
        StudyError: another search is running on this study.
    """
    if not config.tracking.enabled:
        return None
    settings = prepared.settings
    tracker = MlflowTracker(
        settings.folder,
        config.tracking.uri or default_uri(config.runs),
        experiment=config.tracking.experiment,
        objective=settings.metric,
        corpus=prepared.data.corpus,
    )
    plan = planned_search(config, prepared, is_new=is_new)
    write_text(settings.folder / PLAN, "\n".join(lines(plan)) + "\n")
    tracker.artifact(None, settings.folder / PLAN)
    return tracker
