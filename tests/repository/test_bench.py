"""The benchmarks exist under the names in the documents, and render what they find."""

import json
import math
import re
from importlib import import_module
from pathlib import Path

import pytest

from bench import client, dashboard, publication, service, service_report
from bench.__main__ import DEFAULT, SECTIONS, main
from bench.prometheus import Prometheus, Series
from bench.rounds import Figures
from tests.support import ROOT

DOCUMENTS = [ROOT / name for name in ("Makefile", "README.md", "CONTRIBUTING.md")]
COMMAND = re.compile(
    r'(?:make bench|^bench:|-m bench)(?:[^\n]*?ARGS=| )(?:"([\w: ]+)"|([\w:]+))', re.MULTILINE
)
SOURCES = [*DOCUMENTS, *sorted((ROOT / "bench").glob("*.py"))]


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_can_be_called(name):
    assert callable(import_module(f"bench.{name}").main)


def test_commands_in_documents_name_sections():
    found = {
        name.partition(":")[0]
        for path in SOURCES
        for quoted, plain in COMMAND.findall(path.read_text())
        for name in (quoted or plain).split()
    }
    assert len(found) > 3
    assert found <= SECTIONS.keys()
    assert set(DEFAULT) <= SECTIONS.keys()


def test_linked_results_exist_and_are_of_sections():
    links = [
        (path, link)
        for path in DOCUMENTS
        for link in re.findall(r"docs/benchmarks/([\w.]+)", path.read_text())
    ]
    assert links
    for _, link in links:
        assert (ROOT / "docs/benchmarks" / link).exists(), link
    for path in (ROOT / "docs/benchmarks").iterdir():
        assert path.stem in SECTIONS


def test_an_unknown_section_is_rejected_with_the_list():
    with pytest.raises(SystemExit, match=r"(?s)no section speed.*service"):
        main("cache", "speed")


def test_a_table_has_a_cell_for_each_column():
    table = publication.table_of(["", "requests/s"], [["hit", 7], ["miss", "1 (0 to 2)"]])
    assert table == "| | requests/s |\n| --- | --- |\n| hit | 7 |\n| miss | 1 (0 to 2) |"
    with pytest.raises(ValueError, match="3 cells for 2 columns"):
        publication.table_of(["", "s"], [["hit", 1, 2]])


def test_spread_has_the_median_and_the_extremes():
    assert publication.spread([3.0, 1.0, 2.5], 1) == "2.5 (1.0 to 3.0)"


def test_publish_writes_the_table_and_the_data_with_the_machine(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(publication, "RESULTS", tmp_path)
    monkeypatch.setattr(publication, "machine", lambda: "A machine.")
    data = {"hit": [1, 2], "nested": [{"name": "a, [b]"}, [[3], []]]}
    publication.publish("cache", "| µs |\n", data)
    assert (tmp_path / "cache.md").read_text() == "A machine.\n\n| µs |\n"
    text = (tmp_path / "cache.json").read_text()
    assert json.loads(text) == {"machine": "A machine.", "data": data}
    assert '"hit": [1,2],\n' in text


def test_targets_compare_subjects_that_are_measured():
    measured = [subject.name for subject in service.subjects({}, "")]
    figures = {
        name: [Figures(100.0 * (number + 1), 1, 2, 300, 40)] * 3
        for number, name in enumerate(measured)
    }
    rows = service_report.targets(figures)
    assert len(rows) == len(service_report.TARGETS)
    assert ["cached list / bare WSGI application", "5.00", "0.40", "yes"] in rows
    assert ["uncached list / stock: uncached + DRF throttle", "0.62", "1.00", "no"] in rows
    table = service_report.main_table(figures)
    assert "| cached list | 500 (500 to 500) | 5.00 | 1.0 | 2.0 | 300 | 40 |" in table


class FakePrometheus(Prometheus):
    """Returns the same value for each query, and records the queries."""

    def __init__(self, value: float) -> None:
        self.queries: list[str] = []
        self._value = value

    def label_values(self, series: str, label: str) -> list[str]:
        self.queries.append(series)
        return [f"first-{label}", f"second-{label}"]

    def query_range(self, query: str, start: float, end: float) -> list[Series]:
        self.queries.append(query)
        return [Series({"status": "200"}, [start, end], [math.nan, self._value])]


DASHBOARD = {
    "templating": {
        "list": [
            {"name": "datasource", "query": "prometheus"},
            {"name": "namespace", "query": "label_values(up, namespace)"},
            {
                "name": "job",
                "query": 'label_values(up{namespace="$namespace"}, job)',
                "allValue": ".*",
            },
        ]
    },
    "panels": [
        {
            "title": "Requests",
            "targets": [
                {
                    "expr": 'rate(n{namespace="$namespace",job=~"$job"}[$__rate_interval])',
                    "legendFormat": "status {{status}}",
                }
            ],
        }
    ],
}


def test_panels_are_queried_as_by_grafana():
    prometheus = FakePrometheus(1)
    (panel,) = dashboard.panels(prometheus, DASHBOARD, 10, 20)
    assert prometheus.queries == [
        "up",
        'up{namespace="first-namespace"}',
        'rate(n{namespace="first-namespace",job=~".*"}[4s])',
    ]
    assert panel.series.keys() == {"status 200"}


def test_a_panel_without_data_is_an_error():
    with pytest.raises(AssertionError, match="the panel 'Requests' has no data"):
        dashboard.panels(FakePrometheus(math.nan), DASHBOARD, 10, 20)


def test_clients_change_their_address_after_as_many_requests_as_the_limit():
    requests = client.rotating("/")
    sent = [next(requests) for _ in range(2 * client.REQUESTS_PER_ADDRESS)]
    assert len(set(sent)) == 2
    assert len(set(sent[: client.REQUESTS_PER_ADDRESS])) == 1


def test_a_load_counts_responses_and_fails_on_another_status(server_port):
    found = client.load(server_port, [client.repeated("/ok")] * 2, 0.05)
    assert found.per_second > 0
    assert found.milliseconds(0.5) <= found.milliseconds(0.99)
    with pytest.raises(AssertionError, match="404 instead of 200"):
        client.load(server_port, [client.repeated("/missing")], 0.05)


@pytest.fixture
def server_port():
    """Serve /ok on a new connection for each request, and 404 elsewhere."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.send_response(200 if self.path == "/ok" else 404)
            self.send_header("Content-Length", "2")
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()
