"""Leaves behind what a test can leave behind, among it processes."""
import os
import subprocess
import time
from datetime import datetime

try:
    from airflow.providers.standard.operators.python import PythonOperator
    from airflow.sdk import DAG, Asset
except ImportError:
    from airflow import DAG
    from airflow.datasets import Dataset as Asset
    from airflow.operators.python import PythonOperator

asset = Asset("test://restore/asset")


def linger(path):
    """A program in a session of its own, a copy of this process in another, and a daemon whose parent has ended."""
    def stay():
        time.sleep(600)

    def fork(child):
        pid = os.fork()
        if pid == 0:
            child()
            os._exit(0)
        return pid

    def record(pid):
        with open(path, "a") as file:
            file.write(f"{pid}\n")

    def copy():
        os.setsid()
        record(os.getpid())
        stay()

    def daemon():
        os.setsid()
        fork(lambda: (record(os.getpid()), stay()))

    record(os.getpid())
    record(subprocess.Popen(["sleep", "600"], start_new_session=True).pid)
    # a program that its parent does not wait for, in this session
    subprocess.run(["sh", "-c", f"sleep 600 & echo $! >> {path}"], check=True)
    fork(copy)
    os.waitpid(fork(daemon), 0)


def linger_and_end(path):
    linger(path)


def linger_and_stay(path):
    linger(path)
    time.sleep(600)


def dag(dag_id, schedule=None):
    return DAG(dag_id, start_date=datetime(2024, 1, 1), schedule=schedule, catchup=False)


here = os.path.dirname(__file__)

with dag("restore_quick") as quick:
    PythonOperator(task_id="push", python_callable=lambda: "pushed", outlets=[asset])

with dag("restore_ended") as ended:
    PythonOperator(task_id="linger", python_callable=linger_and_end, op_args=[f"{here}/ended.pids"])

with dag("restore_running") as running:
    PythonOperator(task_id="linger", python_callable=linger_and_stay, op_args=[f"{here}/running.pids"])

with dag("restore_scheduled", "@daily") as scheduled:
    PythonOperator(task_id="wait", python_callable=lambda: time.sleep(1))

# waits for a second asset, so that an event of the first stays queued
with dag("restore_consumer", [asset, Asset("test://restore/other")]) as consumer:
    PythonOperator(task_id="consume", python_callable=lambda: None)
