"""Tasks on any Dask cluster, by the address of its scheduler."""

from __future__ import annotations

import logging
import pickle
import queue
import warnings
from collections import deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntk_explorer.errors import InvalidInput, NTKExplorerError
from ntk_explorer.jobs.addresses import check_scheduler
from ntk_explorer.jobs.pool import TICK, fatal
from ntk_explorer.jobs.remote import Terms, inspect, perform, versions
from ntk_explorer.jobs.tasks import Outcome, Outcomes, Task, distinct, explain, outcome

if TYPE_CHECKING:
    from distributed import Client, Future

log = logging.getLogger(__name__)

WINDOW = 1000  # tasks that the scheduler holds at a time: 10,000 took 21 s to submit, and 100 MB there
# What they report, we say ourselves, once and in a sentence.
NOISY = ("distributed.client", "distributed.comm", "distributed.core", "distributed.batched", "distributed.utils")


class Cluster:
    """A Dask scheduler and its workers, wherever they are; nothing here listens.

    Tasks of equal keys are one task for all clients of the scheduler. What runs when this process dies
    is finished, and what waits then too; the results are in the store. When a silent worker counts as lost is the
    scheduler's to say (``distributed.scheduler.worker-ttl``); scipy's LAPACK silences one for the length of a call.
    """

    here = False

    def __init__(
        self,
        address: str,
        *,
        allow_plain: bool = False,
        ca_file: str | Path | None = None,
        cert: str | Path | None = None,
        key: str | Path | None = None,
        probe: Task | None = None,
        timeout: float = 10.0,
    ):
        """Connect, and look at every worker.

        Args:
            address: of the scheduler, ``tcp://…`` on this machine or ``tls://…``.
            allow_plain: let tcp leave this machine.
            ca_file: certificate of the authority that TLS trusts; the default is what Dask is configured with.
            cert: certificate of this client.
            key: its private key.
            probe: a task that must succeed on every worker, for instance one that looks for the store.
            timeout: seconds in which the scheduler has to answer.

        Raises:
            InvalidInput: the address may not be used, nobody answers there, or a worker differs from this process.
        """
        self.address = check_scheduler(address, allow_plain=allow_plain)
        self._files = {"tls_ca_file": ca_file, "tls_client_cert": cert, "tls_client_key": key}
        self._terms, self._timeout = pickle.dumps(Terms(versions(), probe)), timeout
        self._client = self._connect()

    @property
    def workers(self) -> int:
        """How many tasks run at the same time: the threads of all workers."""
        return max(1, sum(self._client.nthreads().values()))  # pyright: ignore[reportAttributeAccessIssue]

    def run(self, tasks: Sequence[Task]) -> Outcomes:
        """Yield outcomes as they come, None five times a second while none comes.

        Closing the iterator takes back what waits, unless another client wants it; what runs goes on to its end.

        Raises:
            NTKExplorerError: the scheduler has gone.
        """
        if self._client.status != "running":
            self._client = self._connect()
        import asyncio  # not above: who computes here does not need it

        # What earlier runs have released is gone before its keys are used again: a failed task is tried anew.
        self._client.sync(asyncio.sleep, 0)
        return _Run(self._client, self._terms, tasks).outcomes()

    def close(self) -> None:
        """Leave the cluster."""
        self._client.close()

    def __enter__(self) -> Cluster:
        """Use the cluster in a ``with`` block."""
        return self

    def __exit__(self, *_) -> None:
        """Leave it."""
        self.close()

    def _connect(self) -> Client:
        from distributed import Client  # not above: half a second that no other command needs

        for name in NOISY:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # versions are compared below
            try:
                client = Client(
                    self.address,
                    timeout=self._timeout,
                    security=self._security(),
                    set_as_default=False,  # pyright: ignore
                )
            except (OSError, TypeError, ValueError) as error:
                first = (str(error).splitlines() or [""])[0]
                raise InvalidInput(
                    f"No scheduler answers at {self.address} ({first[:200]})",
                    "Start one with `dask scheduler`, or correct the address or the certificates.",
                ) from None
        try:
            self._inspect(client)
        except BaseException:
            client.close()
            raise
        return client

    def _security(self):
        if not self.address.startswith("tls://"):
            return None
        from distributed import Security

        files = {name: str(path) for name, path in self._files.items() if path is not None}
        for path in files.values():
            if not Path(path).is_file():
                raise InvalidInput(f"There is no file {path}", "Give the certificates as PEM files.")
        return Security(require_encryption=True, **files)

    def _inspect(self, client: Client) -> None:
        """Compare the scheduler and every worker with this process.

        Raises:
            InvalidInput: one cannot take part.
        """
        answers: dict[str, Any] = {"scheduler": _ask(client.run_on_scheduler, inspect, self._terms, probe=False)}
        found = _ask(client.run, inspect, self._terms, on_error="return")
        if found == {}:
            log.warning("%s has no workers yet: tasks wait for the first", self.address)
        answers |= found if isinstance(found, dict) else {"workers": found}
        for name, answer in answers.items():
            if isinstance(answer, Exception):
                refusal = explain(answer)
                who = f"The {name}" if name in ("scheduler", "workers") else f"The worker {name}"
                raise InvalidInput(f"{who} of {self.address} cannot take part: {refusal.problem}", refusal.remedy)


def _ask(how, *arguments, **options) -> Any:
    """What a remote call gives, or the error that it ends with."""
    try:
        return how(*arguments, **options)
    except Exception as error:
        return error


class _Run:
    """The tasks of one run: waiting here, with the scheduler, or over."""

    def __init__(self, client: Client, terms: bytes, tasks: Sequence[Task]):
        self._client, self._terms = client, terms
        self._waiting = deque(distinct(tasks))
        self._open: dict[str, tuple[Task, Future]] = {}
        self._done: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

    def outcomes(self) -> Outcomes:
        try:
            while self._waiting or self._open:
                self._submit()
                try:
                    key, answer = self._done.get(timeout=TICK)
                except queue.Empty:
                    yield None
                    continue
                task, future = self._open.pop(key)
                future.release()
                yield self._outcome(task, answer)
        finally:
            self._withdraw()

    def _submit(self) -> None:
        """Fill up what the scheduler holds, many tasks at a time."""
        from distributed import fire_and_forget

        if len(self._open) > WINDOW // 2:
            return
        batch = [self._waiting.popleft() for _ in range(min(WINDOW - len(self._open), len(self._waiting)))]
        if not batch:
            return
        work = [pickle.dumps((task.target, dict(task.arguments))) for task in batch]
        keys = [f"ntk_explorer-{task.key}" for task in batch]
        futures = self._client.map(perform, work, terms=self._terms, key=keys, pure=False)
        fire_and_forget(futures)  # should this process die, they are computed all the same
        for task, future in zip(batch, futures, strict=True):
            self._open[task.key] = task, future
            future.add_done_callback(partial(self._report, task.key))

    def _report(self, key: str, future: Future) -> None:
        """On Dask's thread: fetch the answer, or why there is none."""
        try:
            self._done.put((key, pickle.loads(future.result())))
        except BaseException as error:  # Dask's cancellations are no Exceptions
            self._done.put((key, error))

    def _outcome(self, task: Task, answer: Any) -> Outcome:
        from concurrent.futures import CancelledError

        from distributed import KilledWorker

        if isinstance(answer, KilledWorker):
            return Outcome(task, error=fatal(task, answer.allowed_failures + 1))
        if isinstance(answer, CancelledError):
            raise NTKExplorerError(
                "The scheduler has gone, or has dropped the tasks",
                "What was finished by then is in the store: run it again once the scheduler is back.",
            )
        if isinstance(answer, BaseException):
            if not isinstance(answer, Exception):
                raise answer
            return Outcome(task, error=explain(answer))
        return outcome(task, answer)

    def _withdraw(self) -> None:
        """Take back what is open; workers end what they have begun, and no other client is disturbed."""
        futures = [future for _, future in self._open.values()]
        if not futures or self._client.status != "running":
            return
        # The counterpart of fire_and_forget, which Dask does not offer by name.
        message = {"op": "client-releases-keys", "keys": [f.key for f in futures], "client": "fire-and-forget"}
        self._client._send_to_scheduler(message)
        # Not client.cancel: its echo would cancel the same tasks when they are asked for again at once.
        for future in futures:
            future.release()
        self._open.clear()
