"""One task that prints a greeting."""
from datetime import datetime

from airflow.decorators import dag, task


@dag(dag_id="hello_world_dag", schedule=None, start_date=datetime(2024, 1, 1), catchup=False)
def hello_world_dag():
    @task
    def hello():
        print("Hello World from Airflow")

    hello()


hello_world_dag()
