"""DAGs whose runs leave rows in as many tables of Airflow's database as tasks can."""
from datetime import datetime, timedelta

from airflow import __version__

if __version__.startswith("2."):
    from airflow.datasets import Dataset as Asset, DatasetAlias as AssetAlias
    from airflow.decorators import dag, task
    from airflow.models import BaseOperator
    from airflow.triggers.temporal import TimeDeltaTrigger
else:
    from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
    from airflow.sdk import Asset, AssetAlias, BaseOperator, dag, task

version = tuple(int(part) for part in __version__.split(".")[:2])
common = {"start_date": datetime(2024, 1, 1), "catchup": False}
one, other = Asset("test://left/one"), Asset("test://left/other")
alias = AssetAlias("left_alias")

deadline = {}
if version >= (3, 1):
    if version >= (3, 2):
        from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference
    else:
        from airflow.sdk.definitions.deadline import AsyncCallback, DeadlineAlert, DeadlineReference

    async def noticed(**_):
        pass

    deadline = {
        "deadline": DeadlineAlert(
            reference=DeadlineReference.FIXED_DATETIME(datetime(2100, 1, 1)),
            interval=timedelta(hours=1),
            callback=AsyncCallback(noticed),
        )
    }


class Deferred(BaseOperator):
    def execute(self, context):
        self.defer(trigger=TimeDeltaTrigger(timedelta(hours=1)), method_name="execute_complete")

    def execute_complete(self, context, event=None):
        pass


@dag(dag_id="left", schedule=None, **common, **deadline)
def left():
    @task(outlets=[one, alias], pool="left_pool", retries=5, retry_delay=timedelta(seconds=1))
    def produce(outlet_events):
        outlet_events[alias].add(Asset("test://left/by_alias"))
        return [1, 2]

    @task
    def mapped(number):
        print(number)

    @task(retries=1, retry_delay=timedelta(hours=1))
    def retried():
        raise RuntimeError("on purpose")

    @task.sensor(mode="reschedule", poke_interval=3600)
    def rescheduled():
        return False

    mapped.expand(number=produce())
    retried()
    rescheduled()
    Deferred(task_id="deferred")
    if version >= (3, 1):
        from airflow.providers.standard.operators.hitl import ApprovalOperator

        ApprovalOperator(task_id="asks", subject="May it?")


@dag(dag_id="left_scheduled", schedule="@daily", **common)
def scheduled():
    sla = {"sla": timedelta(seconds=1)} if version < (3, 0) else {}

    @task(**sla)
    def tick():
        print("tick")

    tick()


@dag(dag_id="left_consumer", schedule=[one, other], **common)
def consumer():
    @task
    def consume():
        print("consumed")

    consume()


@dag(dag_id="left_alias_consumer", schedule=[alias], **common)
def alias_consumer():
    @task
    def consume():
        print("consumed")

    consume()


left()
scheduled()
consumer()
alias_consumer()

if version >= (3, 2):
    from airflow.sdk import PartitionedAssetTimetable

    half = Asset("test://left/half"), Asset("test://left/other_half")

    @dag(dag_id="left_partitioned", schedule=PartitionedAssetTimetable(assets=half[0] & half[1]), **common)
    def partitioned():
        @task
        def consume():
            print("consumed")

        consume()

    partitioned()
