"""
The fixture `airflow_resource`: each test gets an Airflow of its own, leased by the command `airflow-resource`.

Copy this file to your tests. It needs Python 3.9, pytest, Node.js 20.19, and `npm install --save-dev airflow-resource` in the project.
Where Airflows come from is decided by the environment and by `.env` in the project's root.

- The command is node_modules/.bin/airflow-resource in pytest's rootdir or in a folder above it, else the one on the PATH.
  AIRFLOW_RESOURCE_COMMAND names another, with its arguments: "npx --yes airflow-resource".
- Each test has one process `airflow-resource lease --json`. It prints the lease as one line of JSON, and releases it when its stdin
  closes: at the end of the test, and also when pytest is killed.
- What it says meanwhile is in the captured stderr of the test. `pytest -s` shows it at once.
"""
import http.client
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
import uuid
import warnings
from collections import deque
from datetime import datetime

import pytest

RELEASE_TIMEOUT = 120  # seconds; a release that takes longer goes on without pytest


def pytest_configure(config):
    config.addinivalue_line("markers", "airflow: needs an Airflow")
    config.addinivalue_line("markers", "pipeline: runs a whole pipeline")


@pytest.fixture
def airflow_resource(request):
    root = request.config.rootpath
    command = find_command(root)
    with Lease(command, request.node.nodeid, root) as lease:
        facts = {re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", key): lease.facts[key] for key in lease.facts}
        cache_manager = CacheManager(command, root)
        yield AirflowResource({
            **facts,
            "test_name": request.node.name,
            "description": f"An Airflow resource for {facts['resource_id']}",
            "worker_pid": os.getpid(),
            "creation_time": datetime.fromisoformat(facts["creation_time"].replace("Z", "+00:00")).timestamp(),
            "airflow_instance": Airflow(lease),
            "created_resources": [(facts["deployment_name"], cache_manager)],
            "cache_manager": cache_manager,
        })


class AirflowResource(dict):
    """What a test gets. Pytest prints the arguments of a test that fails: this one without its secrets."""

    def __repr__(self):
        return f"<Airflow {self['deployment_name']}, {self['base_url']}>"


class Secret(str):
    """A text that pytest prints as `***` where it shows the values of variables."""

    def __repr__(self):
        return "'***'"


class CacheManager:
    """The pool of Airflows. It manages itself; this only shows it."""

    def __init__(self, command, folder):
        self._command, self._folder = command, folder

    def status(self):
        """What `airflow-resource status --json` prints."""
        return json.loads(subprocess.run([*self._command, "status", "--json"], cwd=self._folder, check=True,
                                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE).stdout)


def find_command(root):
    if os.environ.get("AIRFLOW_RESOURCE_COMMAND"):
        return shlex.split(os.environ["AIRFLOW_RESOURCE_COMMAND"])
    if shutil.which("node") is None:
        pytest.fail("There is no node on the PATH. Install Node.js 20.19 or newer: https://nodejs.org", pytrace=False)
    places = [str(folder / "node_modules" / ".bin") for folder in (root, *root.parents)]
    command = shutil.which("airflow-resource", path=os.pathsep.join([*places, os.environ.get("PATH", "")]))
    if command is None:
        pytest.fail(f"There is no command airflow-resource in node_modules of {root} or of a folder above it, and none on the "
                    "PATH. Run `npm install --save-dev airflow-resource` in the project.", pytrace=False)
    return [command]


class Lease:
    """A process that holds a lease until its stdin closes."""

    def __init__(self, command, name, folder):
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen([*command, "lease", "--json", f"--name={name}"], cwd=folder, encoding="utf-8",
                                             stdin=pipe, stdout=pipe, stderr=pipe)
        except OSError as error:
            pytest.fail(f"{command[0]} cannot be started: {error}. Correct AIRFLOW_RESOURCE_COMMAND.", pytrace=False)
        self._said = deque(maxlen=20)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self):
        try:
            document = json.loads(self._process.stdout.readline() or "{}", object_hook=hide_secrets)
            if "leaseId" not in document:
                self._process.wait()
                problem = document["error"]["message"] if "error" in document else self._last_words()
                pytest.fail(f"There is no Airflow for this test. {problem}", pytrace=False)
            self.facts = document
            return self
        except BaseException:  # also Ctrl-C
            self._release()
            raise

    def __exit__(self, *_):
        if self._release() not in (0, None):
            pytest.fail(f"The lease of this test ended badly. {self._last_words()}", pytrace=False)

    def check(self):
        """Fails if the lease is lost: another test may have the Airflow now."""
        if self._process.poll() is not None:
            pytest.fail(f"The lease of this test has ended. {self._last_words()}", pytrace=False)

    def _release(self):
        """Returns the exit code, or None if the process is not done yet."""
        try:
            self._process.stdin.close()
            return self._process.wait(RELEASE_TIMEOUT)
        except subprocess.TimeoutExpired:
            warnings.warn(f"The Airflow is not released after {RELEASE_TIMEOUT} seconds. Process {self._process.pid} goes on.")
            return None

    def _listen(self):
        for line in self._process.stderr:
            self._said.append(line)
            sys.stderr.write(line)

    def _last_words(self):
        """What it has said last, except for its progress and its log."""
        self._listener.join(5)
        said = [line for line in self._said if not line.startswith(("airflow-resource: ", "timestamp="))]
        return "".join(said).strip() or f"airflow-resource exited with {self._process.poll()}."


def hide_secrets(document):
    secrets = ("apiToken", "password", "Authorization")
    return {key: Secret(value) if key in secrets else value for key, value in document.items()}


class Airflow:
    """A client for Airflow 2 (/api/v1) and 3 (/api/v2), with the methods of the original's `Airflow_Local`."""

    def __init__(self, lease):
        self._lease = lease
        self._is_2 = lease.facts["apiUrl"].endswith("/v1")

    def wait_for_airflow_to_be_ready(self, timeout=300):
        """Whether its database and scheduler are healthy within `timeout` seconds. A leased Airflow is ready already."""
        def is_ready():
            try:
                health = self._request("GET", "/health" if self._is_2 else "/monitor/health")
                return all(health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler"))
            except AirflowError:
                return False
        return poll(is_ready, timeout)

    def verify_airflow_dag_exists(self, dag_id):
        """Whether the DAG exists and is active."""
        try:
            dag = self._request("GET", path("dags", dag_id))
        except AirflowError as error:
            if error.status == 404:
                return False
            raise
        return not dag["is_stale"] if "is_stale" in dag else bool(dag["is_active"])

    def unpause_and_trigger_airflow_dag(self, dag_id, conf=None):
        """Starts one run, and returns its id."""
        if not self.verify_airflow_dag_exists(dag_id):
            raise AirflowError(f"There is no DAG {dag_id}. Check its name, and that its file was delivered.")
        run = {"dag_run_id": f"pytest__{uuid.uuid4()}", "conf": conf or {}, **({} if self._is_2 else {"logical_date": None})}
        self._request("PATCH", path("dags", dag_id), {"is_paused": False})
        try:
            self._request("POST", path("dags", dag_id, "dagRuns"), run)
        except AirflowError as error:
            if error.status != 409:  # then an earlier try has started it, although its response was an error
                raise
        return run["dag_run_id"]

    def verify_dag_id_ran(self, dag_id, dag_run_id, timeout=300):
        """Waits until the run has succeeded. Unlike the original, it fails if the run fails."""
        def state():
            return self._request("GET", path("dags", dag_id, "dagRuns", dag_run_id))["state"]
        poll(lambda: state() in ("success", "failed"), timeout)
        ended = state()
        if ended != "success":
            tasks = {task["task_id"]: task["state"] for task in self.check_dag_task_instances(dag_id, dag_run_id)}
            logs = [self.get_task_instance_logs(dag_id, dag_run_id, task) for task in tasks if tasks[task] == "failed"]
            raise AirflowError("\n".join([f"The run {dag_run_id} of {dag_id} is {ended}. Its tasks: {tasks}", *logs]))
        return True

    def get_task_instance_logs(self, dag_id, dag_run_id, task_id, timeout=15):
        """The log of the task's last try, as text. Some Airflows have it only a while after the task has ended."""
        task = path("dags", dag_id, "dagRuns", dag_run_id, "taskInstances", task_id)

        def log():
            last = f"{task}/logs/{max(1, self._request('GET', task)['try_number'])}?full_content=true"
            if self._is_2:
                lines = self._request("GET", last, accept="text/plain").splitlines()[1:]
                return "\n".join(line for line in lines if not line.startswith(("***", " INFO - ::")))
            lines = self._request("GET", last)["content"]
            return "\n".join(line if isinstance(line, str) else line["event"] for line in lines if isinstance(line, str) or "level" in line)
        return poll(log, timeout)

    def check_dag_task_instances(self, dag_id, dag_run_id):
        """The task instances of a run, as Airflow describes them: `task_id`, `state`, `try_number`, …"""
        tasks = []
        while True:
            query = f"?limit=1000&offset={len(tasks)}" + ("" if self._is_2 else "&order_by=id")
            page = self._request("GET", path("dags", dag_id, "dagRuns", dag_run_id, "taskInstances") + query)
            tasks += page["task_instances"]
            if len(tasks) >= page["total_entries"] or not page["task_instances"]:
                return tasks

    def _request(self, method, path, body=None, accept="application/json", tries=5):
        """Sends a request, and again after a server error: each request of this client may arrive twice."""
        self._lease.check()
        url = self._lease.facts["apiUrl"] + path
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Accept": accept, "Content-Type": "application/json"}, method=method)
        for name, value in self._lease.facts["apiHeaders"].items():
            request.add_unredirected_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                text = response.read().decode()
                return json.loads(text) if accept == "application/json" else text
        except (OSError, http.client.HTTPException) as error:
            self._lease.check()
            status = getattr(error, "code", None)
            if tries > 1 and (status is None or status >= 500):
                time.sleep(1)
                return self._request(method, path, body, accept, tries - 1)
            detail = error.read().decode(errors="replace")[:1000] if status else ""
            raise AirflowError(f"{method} {url}: {error}. {detail}", status) from None


class AirflowError(Exception):
    def __init__(self, message, status=None):
        super().__init__(message)
        self.status = status


def path(*segments):
    return "".join(f"/{urllib.parse.quote(segment, safe='')}" for segment in segments)


def poll(read, timeout):
    """Reads until the value is true. Returns the last value."""
    deadline = time.monotonic() + timeout
    while True:
        value = read()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(1)
