/** DAG files for Airflow 2 and 3. */

const imports = `
try:
    from airflow.sdk import DAG, task
except ImportError:
    from airflow import DAG
    from airflow.decorators import task
`

/** Its task `hello` logs and returns the text. */
export const hello = (dagId: string, text: string): string =>
  `${imports}
with DAG("${dagId}", schedule=None):
    @task
    def hello():
        print("${text}")
        return "${text}"
    hello()
`

/** Its task waits in the triggerer, and ends there. */
export const deferring = (dagId: string): string =>
  `${imports}
from datetime import timedelta
try:
    from airflow.sdk import BaseOperator
    from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
except ImportError:
    from airflow.models import BaseOperator
    from airflow.triggers.temporal import TimeDeltaTrigger

class Deferring(BaseOperator):
    def execute(self, context):
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=1)), method_name="resume")

    def resume(self, context, event):
        return "resumed"

with DAG("${dagId}", schedule=None):
    Deferring(task_id="wait")
`

/** Its task does not end. */
export const sleeping = (dagId: string): string =>
  `${imports}
import time

with DAG("${dagId}", schedule=None):
    @task
    def sleep():
        time.sleep(3600)
    sleep()
`

/** Its task's child leaves its session, and writes its pid into the file. Neither of them ends. */
export const lingering = (dagId: string, file: string): string =>
  `${imports}
import os, time

with DAG("${dagId}", schedule=None):
    @task
    def linger():
        if os.fork() == 0:
            os.setsid()
            with open("${file}.new", "w") as out:
                out.write(str(os.getpid()))
            os.rename("${file}.new", "${file}")
        time.sleep(3600)
    linger()
`
