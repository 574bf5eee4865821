"""The page on which one tries a model: one file that needs nothing else, in the report's style."""

from __future__ import annotations

from resnets.networks.registry import name_of
from resnets.pages import environment
from resnets.quantities import megabytes
from resnets.serving.service import Service

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "img-src blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def render(service: Service) -> str:
    """Return the page of a model."""
    return (
        environment("resnets.serving")
        .get_template("serve.html")
        .render(
            name=service.name,
            network=name_of(service.model.network),
            classes=service.classes,
            expected=service.input_spec,
            explains=service.explainer is not None,
            most_bytes=service.limits.body_bytes,
            most=megabytes(service.limits.body_bytes),
        )
    )
