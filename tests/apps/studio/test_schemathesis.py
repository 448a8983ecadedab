"""The API against its own description, with bodies and paths that schemathesis makes up."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from occlusionformer.apps.studio.server import StudioConfig, StudioServer, build_studio
from tests.apps.studio.conftest import UNLIMITED
from tests.apps.studio.fake import FakeGenerator

SECONDS = 20.0


@pytest.fixture(scope="module")
def schema():
    schemathesis = pytest.importorskip("schemathesis")
    config = StudioConfig(port=0, rates=UNLIMITED, max_queue=1000, serves_gradio=False)
    studio = build_studio(config, load=lambda spec: FakeGenerator())
    with StudioServer(studio).running() as url:
        yield schemathesis.openapi.from_url(f"{url}/api/openapi.json")


def operations(schema) -> list:
    return [found.ok() for found in schema.get_all_operations()]


def test_every_operation_is_understood(schema):
    assert len(operations(schema)) == 16


@pytest.mark.slow
def test_no_error_of_the_server_and_every_answer_as_described(schema):
    """Checks among others: no status of 500 and more, known statuses, content types, and schemas of answers.

    That a body fits its schema does not make it right: ids have to agree, and the text of a document has a grammar.
    """
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    for operation in operations(schema):

        @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def run(case):
            case.call_and_validate(timeout=SECONDS, excluded_checks=[positive_data_acceptance])

        run()
