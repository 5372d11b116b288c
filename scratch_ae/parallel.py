"""Work for several threads: a batch in shards, or one array of the network after another.

Parts are added up in their own order, whatever the threads'. So a result is the same to the bit for the same number of
threads, and the same but for rounding for another.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from threading import Lock, current_thread
from typing import TypeVar

from threadpoolctl import ThreadpoolController

ONE_AT_A_TIME = Lock()  # BLAS has one thread count per process: two teams would restore each other's
NAME = "team of scratch_ae"  # of its threads

Item = TypeVar("Item")
Result = TypeVar("Result")


def shards(N: int, count: int) -> list[slice]:
    """Slices that cut N images into up to `count` nearly equal shards, none empty."""
    count = max(1, min(count, N))
    return [slice(N * k // count, N * (k + 1) // count) for k in range(count)]


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Team:
    """`threads` threads that wait for work, by default one per processor."""

    def __init__(self, threads: int | None = None):
        self.threads = threads or processors()
        self.pool = ThreadPoolExecutor(self.threads, NAME)
        self.blas = ThreadpoolController()

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """The results of work(item), in order. Each thread takes one item after another.

        With only one item, the threads that would have nothing to do help BLAS with its products.
        RuntimeError if `work` itself calls a `map`: both would wait for each other for ever.
        """
        if current_thread().name.startswith(NAME):
            raise RuntimeError("Team.map: work that is shared by threads cannot be shared once more")
        jobs = list(items)
        results: dict[int, Result] = {}
        left = iter(range(len(jobs)))  # shared by the threads: Python's lock lets one at a time take a number

        def take() -> None:
            for k in left:
                results[k] = work(jobs[k])

        of_blas = 1 if len(jobs) > 1 else self.threads  # or each thread's product would start more threads
        with ONE_AT_A_TIME, self.blas.limit(limits=of_blas, user_api="blas"):
            futures: list[Future[None]] = []
            try:
                for _ in range(min(self.threads, len(jobs))):
                    futures.append(self.pool.submit(take))
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                list(left)  # after an error, or Ctrl-C, nothing more is begun
                wait(futures)  # and nobody writes any more when this returns
        for future in futures:
            future.result()  # which raises the error of its thread
        return [results[k] for k in range(len(jobs))]
