from wes_service.api.docs import tes_document, wes_document


def test_both_documents_name_every_operation_once() -> None:
    for document in (wes_document(), tes_document()):
        items = [item for path in document.content["paths"].values() for item in path.values()]
        names = [item["operationId"] for item in items if "operationId" in item]
        assert names
        assert len(names) == len(set(names))
