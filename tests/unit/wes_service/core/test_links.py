from wes_service.core.links import Links


def test_ids_are_percent_encoded_where_they_are_not_ours() -> None:
    links = Links(base="https://h/prefix")
    logs = "https://h/prefix/ga4gh/wes/v1/runs/r/tasks/a%2Fb%20c/logs"
    assert links.task_logs("r", "a/b c") == (f"{logs}/stdout", f"{logs}/stderr")
    assert links.tes_task("a/b") == "https://h/prefix/ga4gh/tes/v1/tasks/a%2Fb"
