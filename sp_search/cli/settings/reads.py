"""The settings that several commands read in common: what a command's `READS` is made of."""

from __future__ import annotations

OF_NAME = ("task", "lm", "data", "method", "study", "runs")
"""What the name of a study is made of, and where it is."""

OF_SEARCH = (*OF_NAME, "space", "schedule", "winner", "budget", "engine", "tracking", "cluster", "cache")
"""What a search reads."""

_BATCHES = tuple(f"schedule.{name}" for name in ("batch_size", "chunk_updates", "valid_sample", "seed"))
OF_RECIPE = ("task", "lm", "data", *_BATCHES, "engine", "cluster.workers", "cluster.cpus_per_worker", "cache")
"""What training reads."""

OF_ANSWERING = ("lm", "engine.device", "engine.dtype", "engine.threads", "cache")
"""What exported prompts read."""

OF_MLFLOW = ("tracking.uri", "runs")
"""Where MLflow's records are."""

_ACTORS = tuple(f"cluster.{name}" for name in ("address", "workers", "cpus_per_worker", "gpus_per_worker"))
OF_PREPARING = ("units", *_ACTORS, "engine.device", "engine.threads", "cache")
"""What making units of audio reads."""
