"""The list of blogs in FastAPI: JSON cached in Redis, under slowapi's throttle on that Redis."""

import os
from pathlib import Path

from fastapi import FastAPI, Request, Response
from redis.asyncio import Redis
from slowapi import Limiter, _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded
from slowapi.util import get_remote_address

redis = Redis.from_url(os.environ["REDIS_URL"])
limiter = Limiter(key_func=get_remote_address, storage_uri=os.environ["REDIS_URL"])
app = FastAPI()
app.state.limiter = limiter
app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)


@app.get("/api/blogs/")
@limiter.limit("1000/hour")
async def blogs(request: Request) -> Response:
    """Return the cached list; on a miss, a file stands in for the query."""
    body = await redis.get("fastapi:blogs")
    if body is None:
        body = Path(os.environ["BENCH_LIST"]).read_bytes()
        await redis.set("fastapi:blogs", body, ex=60 * 10)
    return Response(body, media_type="application/json")
