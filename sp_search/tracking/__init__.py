"""Local spool -> MLflow: every event of a search is on disk at once, and in MLflow as soon as its server answers.

Nothing is imported here: only `mlflow_store` imports mlflow, and only when something is sent.
"""
