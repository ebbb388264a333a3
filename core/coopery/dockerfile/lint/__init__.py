"""Checks of Dockerfiles: BuildKit's, by its names (`frontend/dockerfile/linter/ruleset.go`). See docs/lint.md.

Each family of rules is a module. `linter.py` has the list, and runs the rules; nothing here is imported by a build
whose Dockerfile switches all of them off.
"""
