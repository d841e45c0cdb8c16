"""Imports Airflow 3 once, and forks a launcher for each Airflow that starts, whose processes need not import it again.

Listens on the socket NAME.sock in the current folder, that of the Python environment; its argument is NAME. A connection becomes the standard input and output
of a new launcher. Started with the settings that all Airflows of the environment have in common. There is one for each NAME; it ends
after a quarter of an hour without a connection.
"""

import fcntl
import gc
import os
import select
import signal
import socket
import sys
import threading

import launcher

IDLE_SECONDS = 900


def become(argv, env):
    """What a new process of Airflow does before it runs its command."""
    import importlib

    os.environ.clear()
    os.environ.update(env)
    sys.path[:0] = [path for path in env.get("PYTHONPATH", "").split(":") if path not in sys.path]
    sys.argv = ["airflow", *argv[2:]]

    import airflow.config_templates.airflow_local_settings as local_settings
    from airflow import configuration, logging_config, settings
    from airflow.__main__ import main

    configuration.AIRFLOW_HOME = env["AIRFLOW_HOME"]
    settings.AIRFLOW_HOME = env["AIRFLOW_HOME"]
    settings.dispose_orm()
    settings.configure_vars()
    importlib.reload(local_settings)
    logging_config.configure_logging()
    settings.configure_orm()
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def serve(listener):
    while True:
        ready, _, _ = select.select([listener], [], [], IDLE_SECONDS)
        # children that have ended
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
        if not ready or not os.path.exists("bin/python"):
            return
        connection, _ = listener.accept()
        if os.fork() == 0:
            os.setsid()
            os.dup2(connection.fileno(), 0)
            os.dup2(connection.fileno(), 1)
            os.closerange(3, 256)
            child = launcher.Launcher(become)
            child.say(launcher=os.getpid())
            child.run()
            os._exit(0)
        connection.close()


def main(name):
    lock = os.open(f"{name}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return  # another one is active
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    import airflow.api_fastapi.app
    import airflow.api_fastapi.core_api.app
    import airflow.api_fastapi.core_api.routes.public
    import airflow.api_fastapi.execution_api.app
    import airflow.cli.cli_parser
    import airflow.cli.commands.api_server_command
    import airflow.cli.commands.dag_processor_command
    import airflow.cli.commands.scheduler_command
    import airflow.cli.commands.triggerer_command
    import airflow.jobs.scheduler_job_runner

    if threading.active_count() > 1:
        return  # a fork would lose the others, with what they have locked
    gc.collect()
    gc.freeze()
    try:
        os.unlink(f"{name}.sock")
    except FileNotFoundError:
        pass
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{name}.sock")
    listener.listen()
    try:
        serve(listener)
    finally:
        os.unlink(f"{name}.sock")


if __name__ == "__main__":
    main(sys.argv[1])
