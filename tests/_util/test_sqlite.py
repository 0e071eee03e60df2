"""The two files that resift keeps, of document states and of scores: whatever becomes of them, nothing fails."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.random import default_rng

from resift._util import sqlite
from resift.engines.split.states import DocumentState
from resift.engines.split.states_file import FileStates
from resift.scoring.cache_stores import DiskStore

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def state(number: int) -> DocumentState:
    random = default_rng(number)
    return DocumentState.quantize(
        random.normal(size=(3, 8)).astype(np.float32), random.normal(size=4).astype(np.float32)
    )


@dataclass(frozen=True)
class Store:
    """One of the two files."""

    open: Callable[[Path], Any]
    value: Callable[[int], Any]
    table: str
    column: str

    def warnings(self, caplog: pytest.LogCaptureFixture) -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


STORES = {
    "states": Store(FileStates, state, "states", "numbers"),
    "scores": Store(lambda path: DiskStore(str(path)), lambda number: b"score %d" % number, "scores", "value"),
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # states warn twice, by logging too: that is what the tests count
        yield STORES[request.param]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.sqlite3"


def hits(store: Store, opened: Any, *numbers: int) -> list[int]:
    """The numbers whose values were found, each seen to be the value that was put in."""
    found = opened.get([b"key %d" % number for number in numbers])
    for key, value in found.items():
        expected = store.value(int(key.split()[1]))
        pairs = zip(value, expected, strict=True) if isinstance(value, tuple) else [(value, expected)]
        assert all(np.array_equal(part, other) for part, other in pairs)
    return sorted(int(key.split()[1]) for key in found)


def put(store: Store, opened: Any, *numbers: int) -> None:
    opened.put({b"key %d" % number: store.value(number) for number in numbers})


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_value_under_another_key_is_not_believed(store: Store, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    opened = store.open(path)
    put(store, opened, 1, 2, 3)
    change(
        path,
        f"CREATE TEMP TABLE old AS SELECT * FROM {store.table}",
        f"UPDATE {store.table} SET {store.column} = (SELECT {store.column} FROM old WHERE old.key = x'6b65792032') "
        "WHERE key = x'6b65792031'",
        f"UPDATE {store.table} SET {store.column} = (SELECT {store.column} FROM old WHERE old.key = x'6b65792031') "
        "WHERE key = x'6b65792032'",
    )
    assert hits(store, opened, 1, 2, 3) == [3]
    assert "2 of its entries are damaged" in store.warnings(caplog)[0]
    put(store, opened, 1, 2)
    assert hits(store, opened, 1, 2, 3) == [1, 2, 3]
    assert len(store.warnings(caplog)) == 1


@pytest.mark.parametrize("value", ["7", "1.5", "'a text'", "CAST(x'ff00fe' AS TEXT)", "x''"])
def test_a_value_of_another_type_is_a_warning_and_no_error(
    value: str, store: Store, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened = store.open(path)
    put(store, opened, 1, 2)
    change(path, f"UPDATE {store.table} SET {store.column} = {value} WHERE key = x'6b65792031'")
    assert hits(store, opened, 1, 2) == [2]
    assert "1 of its entries is damaged" in store.warnings(caplog)[0]
    put(store, opened, 1)
    assert hits(store, opened, 1, 2) == [1, 2]


def test_a_locked_file_is_waited_for_once_then_left_alone_until_some_time_has_passed(
    store: Store, path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resift.engines.split.states_file.WAIT_SECONDS", 0.3)
    monkeypatch.setattr("resift.scoring.cache_stores.WAIT_SECONDS", 0.3)
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(sqlite, "time", clock)
    connect, waits = sqlite3.connect, []

    def note(*arguments: Any, timeout: float = 5.0, **options: Any) -> sqlite3.Connection:
        waits.append(timeout)
        return connect(*arguments, timeout=timeout, **options)

    opened = store.open(path)
    put(store, opened, 1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr(sqlite3, "connect", note)
        for _ in range(4):
            put(store, opened, 2)
            # Readers beside a write-ahead log go on.
            assert hits(store, opened, 1) == ([1] if store.table == "scores" else [])
        assert waits == [sqlite.SHORT_WAIT_SECONDS], "after the first write, which waited, it is read once more"
        clock.now += sqlite.RETRY_SECONDS + 1
        put(store, opened, 2)
        assert set(waits) == {sqlite.SHORT_WAIT_SECONDS}, "the same lock again is hardly waited for"
        other.execute("ROLLBACK")
    assert ["database is locked" in message for message in store.warnings(caplog)] == [True]
    clock.now += sqlite.RETRY_SECONDS + 1
    put(store, opened, 2)
    assert hits(store, opened, 1, 2) == [1, 2]
    with closing(connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        started = time.perf_counter()
        put(store, opened, 3)
        assert time.perf_counter() - started > 0.2, "another lock is waited for again, and told"
    assert len(store.warnings(caplog)) == 2


def test_a_damaged_file_is_told_once(store: Store, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_bytes(b"no database at all" * 1000)
    opened = store.open(path)
    for number in range(5):
        put(store, opened, number)
        assert hits(store, opened, number) == []
    assert ["delete it to begin anew" in message for message in store.warnings(caplog)] == [True]


def test_a_file_of_an_earlier_form_is_begun_anew_and_one_of_a_later_form_left_alone(
    store: Store, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(store, store.open(path), 1)
    change(path, "PRAGMA user_version = 1")
    opened = store.open(path)
    assert hits(store, opened, 1) == []
    put(store, opened, 1)
    assert hits(store, opened, 1) == [1]
    assert not store.warnings(caplog)
    change(path, "PRAGMA user_version = 99")
    opened = store.open(path)
    put(store, opened, 1)
    assert hits(store, opened, 1) == []
    assert "a later version of resift" in store.warnings(caplog)[0]


def test_a_deleted_file_is_begun_anew(store: Store, path: Path) -> None:
    opened = store.open(path)
    put(store, opened, 1)
    path.unlink()
    assert hits(store, opened, 1) == []
    put(store, opened, 2)
    assert hits(store, store.open(path), 1, 2) == [2]


WITHOUT_SPACE = """
import logging, resource, sys, warnings
from pathlib import Path
sys.path.insert(0, sys.argv[3])
warnings.simplefilter("ignore")
logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="WARNED %(message)s")
from test_sqlite import STORES, hits, put
store, path = STORES[sys.argv[1]], Path(sys.argv[2])
opened = store.open(path)
put(store, opened, *range(50))
size = sum(file.stat().st_size for file in path.parent.iterdir())
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
for start in range(50, 2000, 50):
    put(store, opened, *range(start, start + 50))
    assert hits(store, opened, *range(50)) == list(range(50))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on files there")
def test_a_full_disk_is_told_once_and_what_is_there_is_still_read(store: Store, path: Path) -> None:
    name = next(name for name, other in STORES.items() if other is store)
    command = [sys.executable, "-c", WITHOUT_SPACE, name, str(path), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("WARNED") == 1, done.stdout


READ_ONLY = """
import os, sys, warnings
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_sqlite import STORES, hits, put
if os.geteuid() == 0:
    os.setresuid(65534, 65534, 65534)
opened = STORES["states"].open(Path(sys.argv[1]))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(3):
        put(STORES["states"], opened, 2)
        assert hits(STORES["states"], opened, 1, 2) == [1]
messages = [str(warning.message) for warning in caught]
assert ["readonly" in message for message in messages] == [True], messages
"""


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no such rights here")
def test_states_in_a_read_only_folder_are_read() -> None:
    """As of an image that was filled when it was built. (A score cache has a log beside it, and no such use.)"""
    states = STORES["states"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "states.sqlite3"
        put(states, states.open(file), 1)
        file.chmod(0o444)
        Path(folder).chmod(0o555)
        try:
            subprocess.run(
                [sys.executable, "-c", READ_ONLY, str(file), str(Path(__file__).parent)], check=True, timeout=120
            )
        finally:
            Path(folder).chmod(stat.S_IRWXU)


def in_child(check: Callable[[], bool]) -> int:
    """The child's process id; it ends with 0 where the check holds."""
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        passed = False
        try:
            passed = check()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0 if passed else 1)
    return child


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_keeps_what_others_find_also_after_its_parent_has_closed(store: Store, path: Path) -> None:
    stores = [store.open(path)]
    put(store, stores[0], 1)
    (read, write), (go_on, closed) = os.pipe(), os.pipe()

    def check() -> bool:
        seen = hits(store, stores[0], 1) == [1]
        os.write(write, b"opened")
        os.read(go_on, 6)  # the parent has let go of the file
        put(store, stores[0], 2)
        return seen and hits(store, stores[0], 1, 2) == [1, 2]

    child = in_child(check)
    os.read(read, 6)
    assert hits(store, stores[0], 1) == [1]
    stores.clear()  # closes it
    os.write(closed, b"closed")
    other = store.open(path)
    put(store, other, 3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert hits(store, other, 1, 2, 3) == [1, 2, 3]
    for end in (read, write, go_on, closed):
        os.close(end)


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_in_the_middle_of_another_threads_work_harms_neither(
    store: Store, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened = store.open(path)
    ended = threading.Event()

    def work() -> None:
        number = 0
        while not ended.is_set():
            put(store, opened, number := number + 1)
            assert hits(store, opened, number) == [number]
            time.sleep(0.002)  # SQLite's wait for a lock knows no queue

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for number in range(10):
            time.sleep(0.01)

            def check(key: int = 10**6 + number) -> bool:
                put(store, opened, key)
                return hits(store, opened, key) == [key]

            assert os.waitstatus_to_exitcode(os.waitpid(in_child(check), 0)[1]) == 0
    finally:
        ended.set()
        thread.join()
    assert hits(store, opened, *range(10**6, 10**6 + 10)) == list(range(10**6, 10**6 + 10))
    assert not store.warnings(caplog)


def test_many_processes_open_a_new_file_at_once(store: Store, path: Path) -> None:
    name = next(name for name, other in STORES.items() if other is store)
    script = """
import sys, warnings
from pathlib import Path
sys.path.insert(0, sys.argv[3])
warnings.simplefilter("error")
import logging
from test_sqlite import STORES, hits, put
store, number = STORES[sys.argv[1]], int(sys.argv[4])
logging.lastResort = None
logging.getLogger("resift").addHandler(type("Fail", (logging.Handler,), {"emit": lambda self, record: sys.exit(3)})())
opened = store.open(Path(sys.argv[2]))
for key in range(10):
    put(store, opened, 10 * number + key)
"""
    command = [sys.executable, "-c", script, name, str(path), str(Path(__file__).parent)]
    processes = [subprocess.Popen([*command, str(number)]) for number in range(4)]
    assert [process.wait(120) for process in processes] == [0] * 4
    assert hits(store, store.open(path), *range(40)) == list(range(40))


def test_a_file_that_is_made_while_it_is_opened_is_not_another_programs(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    read, others = sqlite._pragma, []

    def read_while_another_makes_it(connection: sqlite3.Connection, name: str) -> Any:
        value = read(connection, name)
        if not others:  # after the first number of the header was read: the file is still empty
            others.append(threading.Thread(target=lambda: put(store, store.open(path), 1)))
            others[0].start()
            others[0].join(0.5)  # with one transaction it has to wait for us
        return value

    monkeypatch.setattr(sqlite, "_pragma", read_while_another_makes_it)
    opened = store.open(path)
    assert hits(store, opened, 0) == []  # scores are opened at their first use
    others[0].join()
    assert hits(store, opened, 1) == [1]
    assert not store.warnings(caplog)
