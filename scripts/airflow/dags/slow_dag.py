"""A task that outlives every test, for what ends a running one."""

import time
from datetime import datetime

from airflow.decorators import dag, task


@dag(dag_id="slow_dag", schedule=None, start_date=datetime(2024, 1, 1), catchup=False)
def slow_dag():
    @task
    def sleep():
        time.sleep(600)

    sleep()


slow_dag()
