"""Settings of a local Airflow that are functions."""


def hostname():
    """Where Airflow asks for the log of a task that runs."""
    return "localhost"
