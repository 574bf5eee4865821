"""The calls behind the commands: defaults are resolved here, results are small dataclasses, errors are exceptions."""
