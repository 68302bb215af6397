"""JSON answers."""

import json

import flask

from common.json_types import JsonObject


def json_response(document: JsonObject) -> flask.Response:
    """The document with status 200; never cached, as states change."""
    body = json.dumps(document, separators=(",", ":"), ensure_ascii=False, default=dict) + "\n"
    headers = {"Cache-Control": "no-store"}
    return flask.Response(body.encode(errors="replace"), headers=headers, mimetype="application/json")
