"""What the worker replaces or calls in gunicorn, with the parameters that it relies on."""

GUNICORN = {
    "gunicorn.workers.base.Worker.notify": "self",
    "gunicorn.workers.gthread.ThreadWorker.accept": "self listener",
    "gunicorn.workers.gthread.ThreadWorker.enqueue_req": "self conn",
    "gunicorn.workers.gthread.ThreadWorker.handle": "self conn",
    "gunicorn.workers.gthread.ThreadWorker.finish_request": "self conn fs",
    "gunicorn.workers.gthread.ThreadWorker.wait_for_and_dispatch_events": "self timeout",
    "gunicorn.workers.gthread.ThreadWorker.murder_pending": "self",
    "gunicorn.workers.gthread.ThreadWorker._cap_keepalive": "self deadline",
    "gunicorn.workers.gthread.ThreadWorker._keepalive_after": "self conn keepalive",
    "gunicorn.workers.gthread.TConn.__init__": "self cfg sock client server",
    "gunicorn.workers.gthread.TConn.init": "self",
    "gunicorn.workers.gthread.PollableMethodQueue.defer": "self callback args",
    "gunicorn.http.parser.Parser.__init__": "self cfg source source_addr",
}
