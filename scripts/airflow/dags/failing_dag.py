"""A task that fails, and one behind it that therefore never runs."""

from datetime import datetime

from airflow.decorators import dag, task


@dag(dag_id="failing_dag", schedule=None, start_date=datetime(2024, 1, 1), catchup=False)
def failing_dag():
    @task
    def boom():
        raise ValueError("boom goes the task")

    @task
    def after():
        print("never")

    boom() >> after()


failing_dag()
