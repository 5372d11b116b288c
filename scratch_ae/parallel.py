"""A batch is cut into shards, and threads take one shard after the other.

How a batch is cut depends on its size alone, and the parts are added up in their order. So a result is the same to the
bit for any number of threads.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

from threadpoolctl import ThreadpoolController

SHARD = 4  # images: fewer make the products small, more leave threads without work

ONE_AT_A_TIME = Lock()  # BLAS's number of threads is the whole process's: two teams would restore each other's

Result = TypeVar("Result")


def shards(N: int) -> list[slice]:
    """Slices that cut N images into the fewest parts of at most SHARD images, and into two parts at least."""
    parts = max(1, min(max(-(-N // SHARD), 2), N))
    return [slice(N * part // parts, N * (part + 1) // parts) for part in range(parts)]


def processors() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Team:
    """Threads that wait for work: `threads` of them, by default one a processor."""

    def __init__(self, threads: int | None = None):
        self.threads = threads or processors()
        self.pool = ThreadPoolExecutor(self.threads)
        self.blas = ThreadpoolController()

    def map(self, work: Callable[[slice], Result], N: int) -> list[Result]:
        """The results of work(shard) for each shard of N images, in order. Each thread multiplies on its own."""
        with ONE_AT_A_TIME, self.blas.limit(limits=1, user_api="blas"):  # or each thread's product starts threads again
            return list(self.pool.map(work, shards(N)))
