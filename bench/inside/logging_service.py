"""What bench/logging.py runs inside a generated service: the cost of a record, as a table."""

import logging
import os
import statistics
import time

import django

django.setup()

# ruff: noqa: E402 - the settings are there now
import structlog
from pythonjsonlogger.json import JsonFormatter
from service_runtime.logging import formatter, handler

ROUNDS, RECORDS = 21, 2000
EXTRA = {"ev": "order_paid", "data": {"id": 17, "total": 12.5, "items": [1, 2, 3]}}
TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s %(ev)s %(data)s"
FIELDS = ["timestamp", "levelname", "name", "message"]


def logger_of(name, made, handler_of=None):
    """Return a logger of its own with a handler that writes to nowhere."""
    logger = logging.getLogger(f"bench.{name}")
    logger.propagate = False
    one = handler_of() if handler_of else logging.FileHandler(os.devnull)
    one.setFormatter(made)
    logger.addHandler(one)
    logger.setLevel(logging.INFO)
    return lambda: logger.info("order %s", 17, extra=EXTRA)


def line_handler():
    """Return the service's handler, writing to nowhere."""
    made = handler.LineHandler("stdout")
    made._descriptor = os.open(os.devnull, os.O_WRONLY)
    return made


def structured():
    """Return a call of structlog through the standard library."""
    structlog.configure(
        processors=[
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    made = structlog.stdlib.ProcessorFormatter(processor=structlog.processors.JSONRenderer())
    logger_of("structlog", made)
    logger = structlog.get_logger("bench.structlog")
    return lambda: logger.info("order 17", **EXTRA)


def main():
    calls = {
        "stdlib, text": logger_of("text", logging.Formatter(TEXT)),
        "python-json-logger's JsonFormatter": logger_of("json", JsonFormatter(FIELDS)),
        "structlog through stdlib": structured(),
        "this formatter": logger_of("formatter", formatter.JsonFormatter("acme", "1")),
        "this formatter and handler": logger_of(
            "this", formatter.JsonFormatter("acme", "1"), line_handler
        ),
    }
    times = {name: [] for name in calls}
    for number in range(ROUNDS + 1):
        for name, call in calls.items():
            # As each finds them: the service's handler switches them off for the process.
            ours = name == "this formatter and handler"
            logging.logProcesses = logging.logMultiprocessing = logging.logThreads = not ours
            started = time.perf_counter()
            for _ in range(RECORDS):
                call()
            if number:
                times[name].append((time.perf_counter() - started) / RECORDS * 1e6)
    medians = {name: statistics.median(found) for name, found in times.items()}
    text = medians["stdlib, text"]
    print("A record with an event of three fields, written to nowhere:\n")
    print("| | µs | of text |\n|---|---|---|")
    for name, spent in medians.items():
        print(f"| {name} | {spent:.1f} | {spent / text:.2f} |")


if __name__ == "__main__":
    main()
