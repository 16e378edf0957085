"""MLflow is imported by the uploader's thread and by that of system metrics, each the first as it happens."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys, threading
from sp_search.tracking.api.system_metrics import SystemSampler
from sp_search.tracking.store.mlflow_client import quiet_client

threading.excepthook = lambda args: (print(args.exc_type.__name__, args.exc_value), sys.stdout.flush())
sampler = SystemSampler(lambda found: None, 0.01)
uploader = threading.Thread(target=lambda: quiet_client(f"sqlite:///{sys.argv[1]}/mlflow.db"))
first, second = (uploader, sampler) if sys.argv[2] == "uploader" else (sampler, uploader)
first.start()
second.start()
uploader.join()
sampler.close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("first", ["uploader", "sampler"])
def test_two_threads_import_mlflow_at_the_same_time(tmp_path, first):
    program = [sys.executable, "-c", PROGRAM, str(tmp_path), first]
    assert subprocess.run(program, check=True, stdout=subprocess.PIPE, text=True).stdout == ""
