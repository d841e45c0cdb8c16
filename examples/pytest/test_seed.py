import pytest

@pytest.mark.airflow
def test_my_airflow_test(airflow_resource):
    # Access the Airflow instance
    airflow_instance = airflow_resource["airflow_instance"]
    
    # Access connection details
    base_url = airflow_resource["base_url"]
    api_token = airflow_resource["api_token"]
    username = airflow_resource["username"]
    password = airflow_resource["password"]
    
    # Your test logic here
    # The Airflow deployment is already created and ready to use


import pytest
import requests
import time

@pytest.mark.airflow
@pytest.mark.pipeline
def test_simple_airflow_pipeline(request, airflow_resource):
    """Example test showing complete Airflow workflow."""
    
    # Get connection details from fixture
    base_url = airflow_resource["base_url"]
    api_token = airflow_resource["api_token"]
    headers = {"Authorization": f"Bearer {api_token}", "Cache-Control": "no-cache"}
    
    # Wait for Airflow to be ready
    airflow_instance = airflow_resource["airflow_instance"]
    if not airflow_instance.wait_for_airflow_to_be_ready():
        raise Exception("Airflow instance did not deploy successfully.")
    
    # Example: Check if DAG exists
    dag_response = requests.get(
        f"{base_url.rstrip('/')}/api/v1/dags/hello_world_dag",
        headers=headers,
    )
    
    if dag_response.status_code == 200:
        # Unpause the DAG
        requests.patch(
            f"{base_url.rstrip('/')}/api/v1/dags/hello_world_dag",
            headers=headers,
            json={"is_paused": False},
        )
        
        # Trigger the DAG
        trigger_response = requests.post(
            f"{base_url.rstrip('/')}/api/v1/dags/hello_world_dag/dagRuns",
            headers=headers,
            json={"conf": {}},
        )
        
        if trigger_response.status_code == 200:
            dag_run_id = trigger_response.json()["dag_run_id"]
            
            # Monitor DAG execution
            max_wait = 120  # 2 minutes timeout
            start_time = time.time()
            while time.time() - start_time < max_wait:
                status_response = requests.get(
                    f"{base_url.rstrip('/')}/api/v1/dags/hello_world_dag/dagRuns/{dag_run_id}",
                    headers=headers,
                )
                
                if status_response.status_code == 200:
                    state = status_response.json()["state"]
                    if state == "success":
                        print("DAG run completed successfully!")
                        break
                    elif state in ["failed", "error"]:
                        raise Exception(f"DAG failed with state: {state}")
                
                time.sleep(5)
            else:
                raise Exception("DAG run timed out")


@pytest.mark.airflow
def test_airflow_fixture(airflow_resource):
    base_url = airflow_resource["base_url"]
    api_token = airflow_resource["api_token"]
    headers = {"Authorization": f"Bearer {api_token}"}
    # Test logic using API calls...


@pytest.mark.airflow
def test_airflow_with_helper_methods(airflow_resource):
    airflow_instance = airflow_resource["airflow_instance"]
    
    # Wait for Airflow to be ready
    if not airflow_instance.wait_for_airflow_to_be_ready():
        raise Exception("Airflow not ready")
    
    # Verify DAG exists
    if not airflow_instance.verify_airflow_dag_exists("my_dag"):
        raise Exception("DAG not found")
    
    # Trigger and monitor DAG
    dag_run_id = airflow_instance.unpause_and_trigger_airflow_dag("my_dag")
    airflow_instance.verify_dag_id_ran("my_dag", dag_run_id)
    
    # Get task logs
    logs = airflow_instance.get_task_instance_logs("my_dag", dag_run_id, "my_task")
    assert "expected_output" in logs
