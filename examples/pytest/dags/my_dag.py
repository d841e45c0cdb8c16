"""The DAG of `test_airflow_with_helper_methods`. Works unchanged on Airflow 2.10 to 3.3."""
from datetime import datetime

try:
    from airflow.sdk import dag, task
except ImportError:
    from airflow.decorators import dag, task


@dag(dag_id="my_dag", schedule=None, start_date=datetime(2024, 1, 1), catchup=False)
def my_dag():
    @task
    def my_task():
        print("expected_output")

    my_task()


my_dag()
