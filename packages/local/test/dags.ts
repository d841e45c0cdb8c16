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

/** Its task takes memory, writes its pid into the file, and does not end. */
export const greedy = (dagId: string, file: string): string =>
  `${imports}
import os, time

with DAG("${dagId}", schedule=None):
    @task
    def grow():
        memory = bytearray(256 * 1024 * 1024)
        memory[::4096] = b"x" * len(memory[::4096])
        with open("${file}.new", "w") as out:
            out.write(str(os.getpid()))
        os.rename("${file}.new", "${file}")
        time.sleep(3600)
    grow()
`

/** Its task `log` logs so many megabytes, and then "the end". */
export const verbose = (dagId: string, megabytes: number): string =>
  `${imports}
with DAG("${dagId}", schedule=None):
    @task
    def log():
        line = "0123456789" * 100
        for number in range(${megabytes} * 1000):
            # Airflow leaves out repetitions
            print(number, line)
        print("the end")
        with open("left.txt", "w") as file:
            file.write("x")
    log()
`
