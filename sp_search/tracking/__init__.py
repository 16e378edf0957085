"""Local spool -> MLflow: every event of a search is on disk at once, and in MLflow as soon as its server answers.

mlflow is imported in functions alone, when something is sent or looked up: the import takes 2 s.
"""
