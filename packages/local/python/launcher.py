"""The ancestor of all processes of one Airflow.

Reads commands from its standard input, a JSON object a line, and answers on its standard output:

    {"start": NAME, "argv": [...], "env": {...}, "cwd": FOLDER, "log": FILE}   {"started": NAME, "pid": PID}

A program that ends is reported: {"ended": NAME, "status": STATUS}. When the input ends, because the supervisor stopped or was killed, every
descendant is killed, and the launcher ends. Uses the standard library alone, since it is there before Airflow is.
"""

import ctypes
import json
import os
import select
import signal
import sys
import time

SET_PARENT_DEATH_SIGNAL = 1
SET_CHILD_SUBREAPER = 36

# a terminal or a shutdown sends them to all processes, but the launcher ends last
OWN_SIGNALS = (signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def prctl(option, value):
    try:
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
    except (AttributeError, OSError):
        pass  # not on Linux


def processes():
    """The pid, the parent and the session of each that runs."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    state, parent, _, session = file.read().rpartition(b")")[2].split()[:4]
            except (OSError, ValueError):
                continue  # it has ended
            if state != b"Z":
                yield int(name), int(parent), int(session)


def children_by_parent():
    children = {}
    for pid, parent, _ in processes():
        children.setdefault(parent, []).append(pid)
    return children


def descendants(pid, children):
    found = list(children.get(pid, []))
    for child in found:
        found.extend(children.get(child, []))
    return found


def execute(argv, env):
    os.execve(argv[0], argv, env)


class Launcher:
    def __init__(self, become=execute):
        """`become` turns a new process into a program. It does not return, unless the program has ended."""
        self.become = become
        self.pids = {}

    def say(self, **message):
        try:
            os.write(1, json.dumps(message).encode() + b"\n")
        except OSError:
            pass  # the supervisor has ended, which the end of the input says as well

    def start(self, name, argv, env, cwd, log):
        launcher = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
                if os.getppid() != launcher:
                    os._exit(1)
                signal.set_wakeup_fd(-1)
                for name in OWN_SIGNALS:
                    signal.signal(name, signal.SIG_DFL)
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                os.dup2(output, 1)
                os.dup2(output, 2)
                os.closerange(3, 256)
                os.chdir(cwd)
                self.become(argv, env)
                os._exit(0)
            except BaseException as error:
                os.write(2, f"{argv[0]} cannot be started: {error}\n".encode())
            os._exit(127)
        self.pids[name] = pid
        self.say(started=name, pid=pid)

    def reap(self):
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for name, part in list(self.pids.items()):
                if part == pid:
                    del self.pids[name]
                    self.kill(lambda: self.of_session(part))
                    self.say(ended=name, status=os.waitstatus_to_exitcode(status))

    def kill(self, targets):
        """Kills what `targets` returns, until there is nothing left. What a killed process leaves becomes a child of this one."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            left = targets()
            if not left:
                return
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.01)
            self.reap()

    def of_session(self, leader):
        """What a part has left behind that has ended: it would go on, and keep the part's port."""
        if not os.path.isdir("/proc/self"):
            return []
        children = children_by_parent()
        own = [pid for pid, _, session in processes() if session == leader]
        return own + [child for pid in own for child in descendants(pid, children)]

    def all(self):
        if not os.path.isdir("/proc/self"):
            for pid in self.pids.values():
                try:
                    os.killpg(pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    pass
            return list(self.pids.values())
        return descendants(os.getpid(), children_by_parent())

    def run(self):
        prctl(SET_CHILD_SUBREAPER, 1)
        for name in OWN_SIGNALS:
            signal.signal(name, signal.SIG_IGN)
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        rest = b""
        while True:
            ready, _, _ = select.select([0, wake_read], [], [])
            if wake_read in ready:
                try:
                    os.read(wake_read, 4096)
                except BlockingIOError:
                    pass
                self.reap()
            if 0 in ready:
                try:
                    chunk = os.read(0, 65536)
                except OSError:
                    chunk = b""  # of a supervisor that was killed before it had read everything
                if not chunk:
                    self.kill(self.all)
                    return
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    command = json.loads(line)
                    self.start(command["start"], command["argv"], command["env"], command["cwd"], command["log"])


if __name__ == "__main__":
    Launcher().run()
