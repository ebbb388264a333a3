"""A page and a health check."""

import platform

from flask import Flask, jsonify

app = Flask(__name__)


@app.get("/")
def index() -> str:
    return f"<h1>Hello</h1><p>Served by Python {platform.python_version()}.</p>\n"


@app.get("/health")
def health():
    return jsonify(status="ok")
