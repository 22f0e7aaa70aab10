import os
import subprocess
import sys

from .. import metrics


def test_a_file_that_a_worker_is_just_making_is_no_error(monkeypatch, tmp_path):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    (tmp_path / "counter_1.db").touch()
    script = "from prometheus_client import Counter; Counter('made', 'By another process.').inc(3)"
    subprocess.run([sys.executable, "-c", script], check=True, env=dict(os.environ))

    assert b"made_total 3.0" in metrics.exposition()
