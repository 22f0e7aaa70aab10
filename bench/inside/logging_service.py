"""Measure the cost of a record and print a table; bench/logging.py runs it inside a service."""

import logging
import os
import statistics
import time

import django

django.setup()

# ruff: noqa: E402 - these imports need configured settings
import structlog
from pythonjsonlogger.json import JsonFormatter
from service_runtime.logging import formatter, handler

ROUNDS, RECORDS = 21, 2000
EXTRA = {"ev": "order_paid", "data": {"id": 17, "total": 12.5, "items": [1, 2, 3]}}
TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s %(ev)s %(data)s"
FIELDS = ["timestamp", "levelname", "name", "message"]


def logging_call(name, formatter, create_handler=None):
    """Return a call of a separate logger whose handler writes to the null device."""
    logger = logging.getLogger(f"bench.{name}")
    logger.propagate = False
    target = create_handler() if create_handler else logging.FileHandler(os.devnull)
    target.setFormatter(formatter)
    logger.addHandler(target)
    logger.setLevel(logging.INFO)
    return lambda: logger.info("order %s", 17, extra=EXTRA)


def line_handler():
    """Return the service's handler, writing to the null device."""
    target = handler.LineHandler("stdout")
    target._descriptor = os.open(os.devnull, os.O_WRONLY)
    return target


def structured():
    """Return a call of a structlog logger on top of the standard library."""
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
    renderer = structlog.stdlib.ProcessorFormatter(processor=structlog.processors.JSONRenderer())
    logging_call("structlog", renderer)
    logger = structlog.get_logger("bench.structlog")
    return lambda: logger.info("order 17", **EXTRA)


def main():
    calls = {
        "stdlib, text": logging_call("text", logging.Formatter(TEXT)),
        "python-json-logger's JsonFormatter": logging_call("json", JsonFormatter(FIELDS)),
        "structlog through stdlib": structured(),
        "this formatter": logging_call("formatter", formatter.JsonFormatter("acme", "1")),
        "this formatter and handler": logging_call(
            "this", formatter.JsonFormatter("acme", "1"), line_handler
        ),
    }
    times = {name: [] for name in calls}
    for number in range(ROUNDS + 1):
        for name, call in calls.items():
            # The service's handler disables these for the process; other handlers do not.
            ours = name == "this formatter and handler"
            logging.logProcesses = logging.logMultiprocessing = logging.logThreads = not ours
            started = time.perf_counter()
            for _ in range(RECORDS):
                call()
            if number:
                times[name].append((time.perf_counter() - started) / RECORDS * 1e6)
    medians = {name: statistics.median(rounds) for name, rounds in times.items()}
    text = medians["stdlib, text"]
    print("A record with an event of three fields, written to the null device:\n")
    print("| | µs | lowest | highest | of text |\n|---|---|---|---|---|")
    for name, spent in medians.items():
        low, high = min(times[name]), max(times[name])
        print(f"| {name} | {spent:.1f} | {low:.1f} | {high:.1f} | {spent / text:.2f} |")


if __name__ == "__main__":
    main()
