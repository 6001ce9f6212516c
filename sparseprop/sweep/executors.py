"""What runs the points of a sweep: processes of its own, an executor of the user, joblib or dask."""

import contextlib
import logging
import os
import pickle
import queue
import sys
import time
from concurrent.futures import BrokenExecutor, Executor

from .. import _validation
from .._machine import cores
from ..errors import ParameterError, shown
from .points import described, evaluate
from .table import EXTRA

__all__ = ["outcomes_of", "runner_of"]

log = logging.getLogger("sparseprop")


def outcomes_of(run, calls):
    """(point, what came of it), in the order of finishing; points that were lost get a second try, alone."""
    lost = []
    for k, outcome in run(iter(calls.items())):
        if isinstance(outcome, Exception):
            log.warning("a point of the sweep was lost and will be tried again: %s", described(outcome))
            lost.append(k)
        else:
            yield k, pickle.loads(outcome)
    for k in lost:
        [(_, outcome)] = run(iter([(k, calls[k])]))
        if isinstance(outcome, Exception):
            yield k, ({}, f"{described(outcome)} (also alone)", "")
        else:
            yield k, pickle.loads(outcome)


def runner_of(executor, workers, n_points, functions):
    """What runs calls: ``run(calls)`` takes (k, arguments) and gives (k, result, or the exception of a worker)."""
    if workers is not None:
        workers = _validation.integer(workers, "workers", "a whole number >= 1", low=1)
        if executor is not None and executor != "joblib":
            raise ParameterError(
                f"workers must be None if an executor is given, which has its own, got {workers}; leave it out"
            )
    if executor is None:
        return _Futures(functions, min(workers or cores(), n_points))
    if isinstance(executor, str) and executor == "joblib":
        try:
            from joblib import Parallel
        except ImportError as error:
            raise ImportError(f'executor="joblib" needs joblib: run `{EXTRA}`') from error
        return _Joblib(Parallel(n_jobs=workers or -1, batch_size=1, return_as="generator_unordered"))
    if _is(executor, "joblib", "Parallel"):
        if not executor.return_generator:
            raise ParameterError(
                "a joblib.Parallel as executor must hand out results as they come; make it with "
                f"return_as='generator_unordered', got return_as={shown(executor.return_as)}"
            )
        return _Joblib(executor)
    if _is(executor, "distributed", "Client"):
        # Not pure: dask would answer a second try of a point with the failure of the first.
        executor = executor.get_executor(pure=False)
    if isinstance(executor, Executor):
        return _Futures(functions, executor=executor)
    raise ParameterError(
        "executor must be None, a concurrent.futures.Executor, 'joblib', a joblib.Parallel or a "
        f"dask.distributed.Client, got {shown(executor)}"
    )


def _is(thing, module, name):
    """Whether it is an instance of a class of a module that need not be there."""
    cls = getattr(sys.modules.get(module), name, None)
    return cls is not None and isinstance(thing, cls)


def _pool(workers):
    """Processes of our own, to which functions are sent as they are, also those of a notebook.

    They are not forked, since there may be threads.
    """
    from loky import ProcessPoolExecutor

    return ProcessPoolExecutor(workers, initializer=_start_worker, initargs=(os.getpid(),))


def _start_worker(parent):
    """In a process of our pool: leave Ctrl-C to the parent, and end with it, however that ends."""
    import signal
    import threading

    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow():
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _import_probe(*functions):
    """Nothing; a worker that can run it has got the functions."""


class _Futures:
    """Calls on an executor: processes of our own, or one of the user.

    On our own never more at a time than there are processes. If one dies, only those that ran are lost with it, and new
    processes go on; an executor of the user that breaks stays broken.

    Parameters
    ----------
    functions : tuple
        What the workers must be able to get.
    workers : int, optional
        How many processes of our own.
    executor : Executor, optional
        That of the user.
    """

    def __init__(self, functions, workers=None, executor=None):
        self.functions, self.workers, self.executor = functions, workers, executor

    def __enter__(self):
        if self.workers is not None:
            self.executor = _pool(self.workers)
        try:
            self.executor.submit(_import_probe, *self.functions).result()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            if not isinstance(error, Exception):
                raise
            raise ParameterError(
                "build and measure must be functions that the workers can get: define them at the top level of a "
                "module that they can import; or leave executor out, for processes to which functions are sent as they "
                f"are. Got {described(error)}"
            ) from error
        return self

    def __exit__(self, kind, error, trace):
        if self.workers is not None:
            self.executor.shutdown(kill_workers=kind is not None)  # then nobody waits for what still runs
        return False

    def run(self, calls):
        finished, flying, broken = queue.SimpleQueue(), {}, False
        try:
            while True:
                if broken and not flying and self.workers is not None:
                    self.executor = _pool(self.workers)
                    broken = False
                while not broken and (self.workers is None or len(flying) < self.workers):
                    k, arguments = next(calls, (None, None))
                    if arguments is None:
                        break
                    try:
                        future = self.executor.submit(evaluate, *arguments)
                    except Exception as failure:
                        broken = self.workers is not None and isinstance(failure, BrokenExecutor)
                        yield k, failure
                    else:
                        flying[future] = k
                        future.add_done_callback(finished.put)
                if flying:
                    future = finished.get()
                    k = flying.pop(future)
                    try:
                        outcome = future.result()
                    except Exception as failure:
                        broken = broken or (self.workers is not None and isinstance(failure, BrokenExecutor))
                        outcome = failure
                    del future  # or dask keeps the result, and computes it again if it is lost
                    yield k, outcome
                elif not broken:
                    return
        finally:
            for future in flying:
                future.cancel()


class _Joblib(contextlib.nullcontext):
    """Calls by a joblib.Parallel, which ends with an error when a worker dies, and is then called for the rest."""

    def __init__(self, parallel):
        super().__init__()
        self.parallel = parallel

    def run(self, calls):
        waiting, lost = dict(calls), {}
        while waiting:
            taken = []
            try:
                for k, outcome in self.parallel(_tasks(list(waiting.items()), taken)):
                    if waiting.pop(k, None) or lost.pop(k, None):
                        yield k, outcome
            except Exception as failure:
                if not taken:
                    raise
                for k in waiting.keys() & taken:
                    lost[k] = failure
                    del waiting[k]
        yield from lost.items()


def _tasks(calls, taken):
    """Tasks for joblib. Its threads may still draw some when the call has failed: each call needs lists of its own."""
    from joblib import delayed

    for k, arguments in calls:
        taken.append(k)
        yield delayed(_numbered)(k, arguments)


def _numbered(k, arguments):
    return k, evaluate(*arguments)
