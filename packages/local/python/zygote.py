"""Imports Airflow 3 once, and forks a launcher for each Airflow that starts, whose processes need not import it again.

Listens on the socket NAME.sock in the current folder, that of the Python environment; its argument is NAME. A connection becomes the standard input and output
of a new launcher. Started with the settings that all Airflows of the environment have in common. There is one for each NAME; it ends
after a quarter of an hour without a connection.
"""

import contextlib
import fcntl
import gc
import importlib
import os
import select
import signal
import socket
import sys
import threading
import time

import launcher

IDLE_SECONDS = 900

# of the zygote alone: its script's folder, and what Airflow adds for its home
OWN_PATHS = (os.path.dirname(os.path.abspath(__file__)), os.path.abspath("config"), os.path.abspath("plugins"))


# The settings that say where a deployment's files are.
FOLDERS = ("AIRFLOW_HOME", "DAGS_FOLDER", "PLUGINS_FOLDER")

# What the parts of Airflow import, in one version or another.
MODULES = (
    "airflow.__main__",
    "airflow.api_fastapi.app",
    "airflow.api_fastapi.auth.managers.simple.routes.login",
    "airflow.api_fastapi.auth.managers.simple.simple_auth_manager",
    "airflow.api_fastapi.core_api.app",
    "airflow.api_fastapi.core_api.routes.public",
    "airflow.api_fastapi.core_api.routes.ui",
    "airflow.api_fastapi.execution_api.app",
    "airflow.api_fastapi.execution_api.routes",
    "airflow.api_fastapi.execution_api.versions",
    "airflow.cli.cli_parser",
    "airflow.cli.commands.api_server_command",
    "airflow.cli.commands.dag_processor_command",
    "airflow.cli.commands.scheduler_command",
    "airflow.cli.commands.triggerer_command",
    "airflow.dag_processing.processor",
    "airflow.jobs.dag_processor_job_runner",
    "airflow.jobs.scheduler_job_runner",
    "airflow.jobs.triggerer_job_runner",
    "airflow.utils.db",
    "alembic.command",
    "anyio._backends._asyncio",
    "fastapi.testclient",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
)


def import_all():
    for module in MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)


def build_task_api():
    """Builds the API for tasks, which takes each process seconds when it gets its first request. It depends on no setting of a deployment."""
    try:
        import airflow.api_fastapi.app as server
        import cadwyn.applications as applications
        from airflow.api_fastapi.execution_api.app import create_task_execution_api_app

        generate = applications.generate_versioned_routers
        routers = []

        def remembered(*args, **kwargs):
            if not routers:
                routers.append(generate(*args, **kwargs))
            return routers[0]

        # for the DAG processor and the triggerer, which have one of their own
        applications.generate_versioned_routers = remembered
        app = create_task_execution_api_app()
        app._cadwyn_initialize()
        server.create_task_execution_api_app = lambda: app
    except (ImportError, AttributeError):
        pass  # another version, which builds them itself


def become(argv, env):
    """What a new process of Airflow does before it runs its command."""
    os.environ.clear()
    os.environ.update(env)
    sys.path[:] = [path for path in sys.path if path not in OWN_PATHS]
    sys.path[:0] = [path for path in env.get("PYTHONPATH", "").split(":") if path not in sys.path]
    sys.argv = ["airflow", *argv[2:]]
    # the project may have one of its own
    sys.modules.pop("launcher", None)

    import airflow.config_templates.airflow_local_settings as local_settings
    from airflow import configuration, logging_config, settings
    from airflow.__main__ import main

    before = {name: getattr(settings, name, None) for name in FOLDERS}
    configuration.AIRFLOW_HOME = env["AIRFLOW_HOME"]
    settings.AIRFLOW_HOME = env["AIRFLOW_HOME"]
    settings.dispose_orm()
    settings.configure_vars()
    # some modules have copied them when they were imported
    for name, module in list(sys.modules.items()):
        for folder in FOLDERS if name.startswith("airflow.") else ():
            if module.__dict__.get(folder) == before[folder] is not None:
                setattr(module, folder, getattr(settings, folder))
    getattr(settings, "prepare_syspath_for_config_and_plugins", lambda: None)()
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
    used = time.monotonic()
    while True:
        ready, _, _ = select.select([listener], [], [], 10)
        # children that have ended
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
        # the environment may have been deleted
        if time.monotonic() - used > IDLE_SECONDS or not os.path.exists("bin/python"):
            return
        if not ready:
            continue
        used = time.monotonic()
        connection, _ = listener.accept()
        if os.fork() == 0:
            try:
                os.setsid()
                os.dup2(connection.fileno(), 0)
                os.dup2(connection.fileno(), 1)
                os.closerange(3, 256)
                child = launcher.Launcher(become)
                child.say(launcher=os.getpid())
                child.run()
            finally:
                os._exit(0)  # what follows is for the zygote
        connection.close()


def main(name):
    lock = os.open(f"{name}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return  # another one is active
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    import_all()
    build_task_api()
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
