"""Local spool -> MLflow: what a search tells is on disk at once, and in MLflow when its server is there.

Nothing is imported here: only `mlflow_store` imports mlflow, and only when something is sent.
"""
