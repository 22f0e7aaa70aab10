"""Log invalid requests as warnings, not as errors of the service."""

import logging

MAX_LENGTH = 200


class ClientErrorHandler(logging.Handler):
    """Pass records to the root logger as one short line of at most WARNING, without a stack trace.

    Django logs an invalid Host header, or a form with too many fields, as an ERROR with one.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Shorten the record and pass it on."""
        if record.levelno > logging.WARNING:
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg, record.args = " ".join(record.getMessage().split())[:MAX_LENGTH], ()
        record.exc_info = record.exc_text = record.stack_info = None
        root = logging.getLogger()
        if root.isEnabledFor(record.levelno):
            root.handle(record)
