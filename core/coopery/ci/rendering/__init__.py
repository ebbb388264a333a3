"""The report in the forms that people and programs read. Everything here is pure; adapters place what they get."""
